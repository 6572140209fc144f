// The field that messages are written in.

import type { RefObject } from 'preact'
import { useEffect, useLayoutEffect, useRef, useState } from 'preact/hooks'
import { editLast, saveEdit } from './amends'
import { filesPart } from './attached'
import { listOf, Offers, optionOf, useCompletion, type Completion } from './complete'
import { composeFor, draft } from './drafts'
import { addFiles, Dropping, pasteFiles, useDrop } from './drop'
import { replace } from './field'
import { compose, openEmoji, touch } from './focus'
import { excerpt } from './marks'
import { answer, say } from './outbox'
import { account, limits, target, type Field } from './state'
import { Clip, Cross, Pencil, Reply, Send, Smile } from './symbols'
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

/** How a field is called, and the ids of what describes it. */
function namesOf({ room, seq }: Field) {
  if (seq !== undefined) return { label: t('writeReply'), about: 'reply-composing', length: 'reply-length' }
  return { label: t('write', { room: room.title.value }), about: 'composing', length: 'length' }
}

/** The count of characters left appears this close to the limit. */
const nearLimit = -200

/** The field of a room, or that of a thread in it. */
export function Composer({ field }: { field: Field }) {
  const input = useRef<HTMLTextAreaElement>(null)
  const [length, setLength] = useState(0)
  const over = length - limits.value.content

  const fit = () => {
    const el = input.current!
    el.style.height = 'auto'
    el.style.height = `${Math.min(el.scrollHeight, innerHeight * 0.4)}px`
    setLength(codePoints(el.value))
  }

  useDraft(input, field, fit)
  useCleanPaste(input)
  const completion = useCompletion(input, field)
  const dropping = useDrop(input, field)
  const submit = useSubmit(input, field, fit)
  const editing = field.composing.value?.type === 'edit'

  return (
    <>
      {dropping && <Dropping />}
      <form
        class="composer"
        onSubmit={(event) => {
          event.preventDefault()
          submit()
          input.current!.focus()
        }}
      >
        <Offers field={field} completion={completion} />
        <ComposingBar field={field} />
        {!editing && <Attached field={field} />}
        <textarea
          id={field.input}
          ref={input}
          rows={1}
          autocomplete="off"
          {...described(field, over, completion)}
          onKeyDown={(event) => handleKey(event, submit, field, completion)}
          onKeyUp={completion.look}
          onClick={completion.look}
          onPaste={(event) => !editing && account.peek() && pasteFiles(field, event)}
          onBlur={completion.close}
          onInput={(event) => {
            keep(field, event.currentTarget.value)
            fit()
            completion.change()
          }}
        />
        <Left id={namesOf(field).length} over={over} />
        <Buttons field={field} sendable={(length > 0 || hasFiles(field)) && over <= 0} />
      </form>
    </>
  )
}

/** Text as it is sent. */
const trimmed = (text: string) => allowed(text).replace(/^\n+|\s+$/g, '')

/** Sends what is in the field, or saves the edit. Files that are on their way send it later, also from beside the screen. */
function useSubmit(input: RefObject<HTMLTextAreaElement | null>, field: Field, fit: () => void): () => void {
  const submit = () => {
    const el = input.current!
    const content = trimmed(el.value)
    if ((content.trim() === '' && !hasFiles(field)) || codePoints(content) > limits.peek().content) return
    if (submitEdit(field, content) || waits(field)) return
    el.value = ''
    draft(field, '')
    fit()
    submitMessage(field, content)
  }
  useLayoutEffect(() => {
    field.submit = submit
    return () => (field.submit = () => submitDraft(field))
  }, [field])
  return submit
}

/** Whether the message that is written or edited has files: then it needs no text. */
function hasFiles({ composing, room, files }: Field): boolean {
  const about = composing.value
  return about?.type === 'edit' ? room.message(about.seq)?.files !== undefined : files.value.length > 0
}

/** The files of the message that is being written, and the button that adds some. Visitors have none. */
function Attached({ field }: { field: Field }) {
  const Chips = field.files.value.length > 0 && filesPart()?.Chips
  return (
    <>
      {Chips && <Chips field={field} />}
      {account.value && <Attach field={field} />}
    </>
  )
}

/** How the field is described, also to screen readers. */
function described(field: Field, over: number, { offers, at }: Completion) {
  const { label, about, length } = namesOf(field)
  const open = offers.value.length > 0
  return {
    placeholder: label,
    enterkeyhint: touch() ? 'enter' : 'send',
    'aria-label': label,
    'aria-describedby': over > nearLimit ? `${about} ${length}` : about,
    'aria-invalid': over > 0,
    'aria-autocomplete': 'list',
    'aria-haspopup': 'listbox',
    'aria-controls': open ? listOf(field) : undefined,
    'aria-activedescendant': open ? optionOf(field, at.value) : undefined,
  } as const
}

function Buttons({ field, sendable }: { field: Field; sendable: boolean }) {
  const label = t(field.waiting.value ? 'sendLater' : 'send')
  return (
    <>
      <button type="button" class="icon with-emoji" aria-label={t('insertEmoji')} title={t('insertEmoji')} onClick={(event) => openEmoji(event.currentTarget, { input: field.input })}>
        <Smile />
      </button>
      <button type="submit" class={field.waiting.value ? 'send waiting' : 'send'} aria-label={label} title={label} disabled={!sendable || field.waiting.value}>
        <Send />
      </button>
    </>
  )
}

/** The button that chooses files. */
function Attach({ field }: { field: Field }) {
  const chooser = useRef<HTMLInputElement>(null)
  return (
    <>
      <button type="button" class="icon attach" aria-label={t('attach')} title={t('attach')} onClick={() => chooser.current!.click()}>
        <Clip />
      </button>
      <input
        ref={chooser}
        type="file"
        multiple
        hidden
        onChange={(event) => {
          addFiles(field, [...(event.currentTarget.files ?? [])])
          event.currentTarget.value = ''
          document.getElementById(field.input)?.focus()
        }}
      />
    </>
  )
}

/** Whether the message has to wait for its files, which then send it. One that was refused is the user's to decide about. */
function waits(field: Field): boolean {
  const files = field.files.peek()
  if (files.every((f) => f.file && !f.telling && !f.problem)) return false
  field.waiting.value = !files.some((f) => f.problem)
  return true
}

/** Sends what was written in a field that is not on the screen any more. */
function submitDraft(field: Field): void {
  const content = trimmed(field.draft.peek())
  if (codePoints(content) > limits.peek().content || waits(field)) return
  draft(field, '')
  submitMessage(field, content)
}

/** Saves the edit in the field; false if there is none. */
function submitEdit(field: Field, content: string): boolean {
  const composing = field.composing.peek()
  if (composing?.type !== 'edit') return false
  compose(field, undefined)
  saveEdit(field.room, composing.seq, composing.base, content)
  return true
}

function submitMessage(field: Field, content: string): void {
  const about = field.composing.peek()
  if (about) compose(field, undefined)
  const sent = field.files.peek().flatMap((f) => f.file ?? [])
  const files = sent.length > 0 ? sent : undefined
  field.files.value = []
  field.waiting.value = false
  if (field.seq === undefined) say(field.room, content, about?.type === 'reply' ? about.seq : undefined, files)
  else answer(field.room, content, field.seq, files)
}

/** Keeps what is written. */
function keep(field: Field, text: string): void {
  const composing = field.composing.peek()
  if (composing?.type === 'edit') {
    composeFor(field, { ...composing, text })
    return
  }
  draft(field, text)
  reportTyping(field.room, text)
}

/** Handles a key in the field. On a touch screen Enter starts a new line, and a button sends. */
function handleKey(event: KeyboardEvent & { currentTarget: HTMLTextAreaElement }, submit: () => void, field: Field, completion: Completion): void {
  const { key } = event
  if (event.isComposing) return
  if (completion.key(event)) {
    event.preventDefault()
    event.stopPropagation()
    return
  }
  if (key === 'Enter' && !event.shiftKey && !event.altKey && (!touch() || event.ctrlKey || event.metaKey)) submit()
  else if (key === 'Escape' && (field.waiting.peek() || field.composing.peek())) {
    if (field.waiting.peek()) field.waiting.value = false
    else compose(field, undefined)
    event.stopPropagation()
  } else if (key === 'ArrowUp' && isPlain(event) && event.currentTarget.value === '' && editLast(field)) {
    // The caret is where it belongs.
  } else if (key === 'PageUp' || key === 'PageDown') scrollMessages(event.currentTarget, key === 'PageUp' ? -0.85 : 0.85)
  else return
  event.preventDefault()
}

const isPlain = (event: KeyboardEvent) => !event.shiftKey && !event.altKey && !event.ctrlKey && !event.metaKey

/** Shows the draft of each room, or the message that is edited. The field takes the focus when the page opens; after that the user moves it. */
function useDraft(input: RefObject<HTMLTextAreaElement | null>, field: Field, fit: () => void): void {
  const shown = useRef<Field>(undefined)
  const composing = field.composing.value
  useLayoutEffect(() => {
    const el = input.current!
    const text = composing?.type === 'edit' ? composing.text : field.draft.peek()
    // What the user has written in the field is there already, and the caret is anywhere in it.
    if (shown.current === field && el.value === text) return
    shown.current = field
    el.value = text
    el.setSelectionRange(text.length, text.length)
    fit()
  }, [field, composing])
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

/** Scrolls the messages above a field by a part of their height. */
function scrollMessages(field: HTMLElement, by: number): void {
  const list = field.closest('.main, .panel')?.querySelector('.messages')
  list?.scrollBy({ top: list.clientHeight * by })
}

/** How many characters are left, near the limit. */
function Left({ id, over }: { id: string; over: number }) {
  if (over <= nearLimit) return null
  return (
    <span id={id} class={over > 0 ? 'length over' : 'length'} role="status">
      {over > 0 ? count('tooLong', over) : count('left', -over)}
    </span>
  )
}

/** What the field is for, if not for a new message, and a way out. */
function ComposingBar({ field }: { field: Field }) {
  const about = field.composing.value
  void field.room.version.value
  if (!about) return null
  const { about: id } = namesOf(field)
  const label = t(about.type === 'lost' ? 'close' : 'cancel')
  const cancel = (
    <button type="button" class="icon" aria-label={label} title={label} onClick={() => compose(field, undefined)}>
      <Cross />
    </button>
  )
  if (about.type === 'lost') {
    return (
      <div class="composing" id={id} role="alert">
        <span class="composing-why">{t(about.what === 'edit' ? 'editLost' : 'answerLost')}</span>
        {cancel}
      </div>
    )
  }
  const message = field.room.message(about.seq)
  return (
    <div class="composing" id={id}>
      {about.type === 'edit' ? <Pencil /> : <Reply />}
      <span class="composing-what">{about.type === 'edit' ? t('editing') : t('answering', { name: message?.username ?? '…' })}</span>
      <span class="quote-text" dir="auto">
        {message === undefined ? t('quoteMissing') : message?.deleted ? t('deletedMessage') : excerpt(message ?? { content: '' })}
      </span>
      {cancel}
    </div>
  )
}
