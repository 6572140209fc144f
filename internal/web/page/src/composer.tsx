// Where messages are written.

import { useEffect, useLayoutEffect, useRef, useState } from 'preact/hooks'
import { touch } from './focus'
import { draft, say } from './outbox'
import { codePoints } from './protocol'
import { limits, target, type Room } from './state'
import { Send } from './symbols'
import { count, t } from './texts'

/** Characters that messages cannot have: controls but line feed and tab. */
const forbidden = /[\u0000-\u0008\u000b-\u001f\u007f-\u009f]/g

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

  // Each room has its draft.
  useLayoutEffect(() => {
    input.current!.value = room.draft.peek()
    fit()
  }, [room.name])

  // When the conversation begins. Later it is the user who goes from place to place.
  useLayoutEffect(() => {
    if (!touch() && target.peek() === undefined) input.current!.focus()
  }, [])

  // What came from a paste and cannot be sent is left out before it is in the way.
  useEffect(() => {
    const el = input.current!
    const clean = (event: InputEvent) => {
      const text = event.data ?? event.dataTransfer?.getData('text/plain')
      if (!text || event.inputType !== 'insertFromPaste') return
      const allowed = text.replace(/\r\n?/g, '\n').replace(forbidden, '')
      if (allowed === text) return
      event.preventDefault()
      el.setRangeText(allowed, el.selectionStart, el.selectionEnd, 'end')
      el.dispatchEvent(new Event('input'))
    }
    el.addEventListener('beforeinput', clean)
    return () => el.removeEventListener('beforeinput', clean)
  }, [])

  const submit = () => {
    const el = input.current!
    const content = el.value.replace(/\r\n?/g, '\n').replace(forbidden, '').replace(/^\n+|\s+$/g, '')
    if (content.trim() === '' || codePoints(content) > max) return
    el.value = ''
    draft(room, '')
    fit()
    say(room, content)
  }

  /** Completes the @name before the caret; false if there is none. */
  const complete = (): boolean => {
    const el = input.current!
    const found = /(?:^|\s)@([\p{L}\p{M}\p{N}_.-]+)$/u.exec(el.value.slice(0, el.selectionStart))
    if (!found) return false
    const begun = found[1]!.toLowerCase()
    const name = (room.members.value ?? []).find((m) => m.toLowerCase().startsWith(begun))
    if (name === undefined) return false
    el.setRangeText(`${name} `, el.selectionStart - found[1]!.length, el.selectionStart, 'end')
    el.dispatchEvent(new Event('input'))
    return true
  }

  const onKeyDown = (event: KeyboardEvent) => {
    if (event.isComposing) return
    // On a touch screen the key is for new lines, and there is a button to send.
    if (event.key === 'Enter' && !event.shiftKey && !event.altKey && (!touch() || event.ctrlKey || event.metaKey)) {
      event.preventDefault()
      submit()
    } else if (event.key === 'Tab' && !event.shiftKey && complete()) {
      event.preventDefault()
    } else if (event.key === 'PageUp' || event.key === 'PageDown') {
      event.preventDefault()
      const list = document.getElementById('messages')
      list?.scrollBy({ top: list.clientHeight * 0.85 * (event.key === 'PageUp' ? -1 : 1) })
    }
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
      <textarea
        id="input"
        ref={input}
        rows={1}
        placeholder={t('write', { room: room.name })}
        aria-label={t('write', { room: room.name })}
        aria-describedby={over > -200 ? 'length' : undefined}
        aria-invalid={over > 0}
        autocomplete="off"
        enterkeyhint={touch() ? 'enter' : 'send'}
        onKeyDown={onKeyDown}
        onInput={(event) => {
          draft(room, event.currentTarget.value)
          fit()
        }}
      />
      {over > -200 && (
        <span id="length" class={over > 0 ? 'length over' : 'length'} role="status">
          {over > 0 ? count('tooLong', over) : count('left', -over)}
        </span>
      )}
      <button type="submit" class="send" aria-label={t('send')} title={t('send')} disabled={length === 0 || over > 0}>
        <Send />
      </button>
    </form>
  )
}
