// The field that messages are written in.

import type { RefObject } from 'preact'
import { useEffect, useLayoutEffect, useRef, useState } from 'preact/hooks'
import { editLast, saveEdit } from './amends'
import { composeFor, draft } from './drafts'
import { replace } from './field'
import { compose, openEmoji, touch } from './focus'
import { excerpt } from './marks'
import { say } from './outbox'
import type { Member } from './protocol'
import { limits, target, type Room } from './state'
import { Cross, Pencil, Reply, Send, Smile } from './symbols'
import { count, t } from './texts'
import { reportTyping } from './typing'

/** Characters that messages cannot have: controls except line feed and tab. */
const forbidden = /[\u0000-\u0008\u000b-\u001f\u007f-\u009f]/g

/** Removes characters that messages cannot have. */
function allowed(text: string): string {
  return text.replace(/\r\n?/g, '\n').replace(forbidden, '')
}

/** The length of a text as limits count it. */
function codePoints(text: string): number {
  let n = 0
  for (const _ of text) n++
  return n
}

/** The count of characters left appears this close to the limit. */
const nearLimit = -200

export function Composer({ room }: { room: Room }) {
  const input = useRef<HTMLTextAreaElement>(null)
  const [length, setLength] = useState(0)
  const max = limits.value.content
  const over = length - max

  const fit = () => {
    const el = input.current!
    el.style.height = 'auto'
    el.style.height = `${Math.min(el.scrollHeight, innerHeight * 0.4)}px`
    setLength(codePoints(el.value))
  }

  useDraft(input, room, fit)
  useCleanPaste(input)

  const submit = () => {
    const el = input.current!
    const content = allowed(el.value).replace(/^\n+|\s+$/g, '')
    if (content.trim() === '' || codePoints(content) > max) return
    if (submitEdit(room, content)) return
    el.value = ''
    draft(room, '')
    fit()
    submitMessage(room, content)
  }

  return (
    <form
      class="composer"
      onSubmit={(event) => {
        event.preventDefault()
        submit()
        input.current!.focus()
      }}
    >
      <ComposingBar room={room} />
      <textarea
        id="input"
        ref={input}
        rows={1}
        placeholder={t('write', { room: room.title.value })}
        aria-label={t('write', { room: room.title.value })}
        aria-describedby={over > nearLimit ? 'composing length' : 'composing'}
        aria-invalid={over > 0}
        autocomplete="off"
        enterkeyhint={touch() ? 'enter' : 'send'}
        onKeyDown={(event) => handleKey(event, submit, room)}
        onInput={(event) => {
          keep(room, event.currentTarget.value)
          fit()
        }}
      />
      <Left over={over} />
      <Buttons sendable={length > 0 && over <= 0} />
    </form>
  )
}

function Buttons({ sendable }: { sendable: boolean }) {
  return (
    <>
      <button type="button" class="icon with-emoji" aria-label={t('insertEmoji')} title={t('insertEmoji')} onClick={(event) => openEmoji(event.currentTarget)}>
        <Smile />
      </button>
      <button type="submit" class="send" aria-label={t('send')} title={t('send')} disabled={!sendable}>
        <Send />
      </button>
    </>
  )
}

/** Saves the edit in the field; false if there is none. */
function submitEdit(room: Room, content: string): boolean {
  const composing = room.composing.peek()
  if (composing?.type !== 'edit') return false
  compose(room, undefined)
  saveEdit(room, composing.seq, composing.base, content)
  return true
}

function submitMessage(room: Room, content: string): void {
  const about = room.composing.peek()
  if (about) compose(room, undefined)
  say(room, content, about?.type === 'reply' ? about.seq : undefined)
}

/** Keeps what is written. */
function keep(room: Room, text: string): void {
  const composing = room.composing.peek()
  if (composing?.type === 'edit') {
    composeFor(room, { ...composing, text })
    return
  }
  draft(room, text)
  reportTyping(room, text)
}

/** Handles a key in the field. On a touch screen Enter starts a new line, and a button sends. */
function handleKey(event: KeyboardEvent & { currentTarget: HTMLTextAreaElement }, submit: () => void, room: Room): void {
  const { key } = event
  if (event.isComposing) return
  if (key === 'Enter' && !event.shiftKey && !event.altKey && (!touch() || event.ctrlKey || event.metaKey)) submit()
  else if (key === 'Escape' && room.composing.peek()) {
    compose(room, undefined)
    event.stopPropagation()
  } else if (key === 'ArrowUp' && isPlain(event) && event.currentTarget.value === '' && editLast(room)) {
    // The caret is where it belongs.
  } else if (key === 'PageUp' || key === 'PageDown') scrollMessages(key === 'PageUp' ? -0.85 : 0.85)
  else if (key !== 'Tab' || event.shiftKey || !complete(event.currentTarget, room.members.value ?? [])) return
  event.preventDefault()
}

const isPlain = (event: KeyboardEvent) => !event.shiftKey && !event.altKey && !event.ctrlKey && !event.metaKey

/** Shows the draft of each room, or the message that is edited. The field takes the focus when the page opens; after that the user moves it. */
function useDraft(input: RefObject<HTMLTextAreaElement | null>, room: Room, fit: () => void): void {
  const shown = useRef<Room>(undefined)
  const composing = room.composing.value
  useLayoutEffect(() => {
    const el = input.current!
    const text = composing?.type === 'edit' ? composing.text : room.draft.peek()
    // What the user has written in the field is there already, and the caret is anywhere in it.
    if (shown.current === room && el.value === text) return
    shown.current = room
    el.value = text
    el.setSelectionRange(text.length, text.length)
    fit()
  }, [room, composing])
  useLayoutEffect(() => {
    if (!touch() && target.peek() === undefined) input.current!.focus()
  }, [])
}

/** Removes characters from a paste that messages cannot have. */
function useCleanPaste(input: RefObject<HTMLTextAreaElement | null>): void {
  useEffect(() => {
    const el = input.current!
    const clean = (event: InputEvent) => {
      const text = event.data ?? event.dataTransfer?.getData('text/plain')
      if (!text || event.inputType !== 'insertFromPaste' || allowed(text) === text) return
      event.preventDefault()
      replace(el, allowed(text), el.selectionStart, el.selectionEnd)
    }
    el.addEventListener('beforeinput', clean)
    return () => el.removeEventListener('beforeinput', clean)
  }, [])
}

/** Completes the @name before the caret; returns false if there is none. */
function complete(el: HTMLTextAreaElement, members: Member[]): boolean {
  const found = /(?:^|\s)@([\p{L}\p{M}\p{N}_.-]+)$/u.exec(el.value.slice(0, el.selectionStart))
  if (!found) return false
  const begun = found[1]!.toLowerCase()
  const name = members.find((m) => m.username.toLowerCase().startsWith(begun))?.username
  if (name === undefined) return false
  replace(el, `${name} `, el.selectionStart - found[1]!.length, el.selectionStart)
  return true
}

/** Scrolls the messages by a part of their height. */
function scrollMessages(by: number): void {
  const list = document.getElementById('messages')
  list?.scrollBy({ top: list.clientHeight * by })
}

/** How many characters are left, near the limit. */
function Left({ over }: { over: number }) {
  if (over <= nearLimit) return null
  return (
    <span id="length" class={over > 0 ? 'length over' : 'length'} role="status">
      {over > 0 ? count('tooLong', over) : count('left', -over)}
    </span>
  )
}

/** What the field is for, if not for a new message, and a way out. */
function ComposingBar({ room }: { room: Room }) {
  const about = room.composing.value
  void room.version.value
  if (!about) return null
  const cancel = (
    <button type="button" class="icon" aria-label={t(about.type === 'lost' ? 'close' : 'cancel')} title={t(about.type === 'lost' ? 'close' : 'cancel')} onClick={() => compose(room, undefined)}>
      <Cross />
    </button>
  )
  if (about.type === 'lost') {
    return (
      <div class="composing lost" id="composing" role="alert">
        <span class="composing-why">{t(about.what === 'edit' ? 'editLost' : 'answerLost')}</span>
        {cancel}
      </div>
    )
  }
  const message = room.log.quote(about.seq)
  return (
    <div class="composing" id="composing">
      {about.type === 'edit' ? <Pencil /> : <Reply />}
      <span class="composing-what">{about.type === 'edit' ? t('editing') : t('answering', { name: message?.username ?? '…' })}</span>
      <span class="quote-text" dir="auto">
        {message === undefined ? t('quoteMissing') : message?.deleted ? t('deletedMessage') : excerpt(message?.content ?? '')}
      </span>
      {cancel}
    </div>
  )
}
