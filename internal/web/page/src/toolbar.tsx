// The tools of a message, shown for the message under the pointer and for the one with
// the focus.

import { signal, useComputed } from '@preact/signals'
import type { ComponentChildren } from 'preact'
import { useEffect, useState } from 'preact/hooks'
import type { Message } from './protocol'
import { pathOf } from './route'
import { Check, Copy, Link } from './symbols'
import { t } from './texts'

/** The seq of the message that the pointer is over, and of the one with the focus; 0 for none. */
const pointed = signal(0)
const focused = signal(0)

function seqOf(target: EventTarget | null): number {
  const row = target instanceof Element ? target.closest<HTMLElement>('.row[data-seq]') : null
  return Number(row?.dataset.seq ?? 0)
}

/** Follows the pointer over the rows of a list. */
export function point(event: Event): void {
  pointed.value = event.type === 'mouseleave' ? 0 : seqOf(event.target)
}

/** Follows the focus of the keyboard. A resting pointer must not take the tools away from it. */
export function follow(event: FocusEvent): void {
  const at = event.type === 'focusout' ? event.relatedTarget : event.target
  focused.value = at instanceof Element && at.matches(':focus-visible') ? seqOf(at) : 0
}

export function Toolbar({ room, message }: { room: string; message: Message }) {
  const here = useComputed(() => pointed.value === message.seq || focused.value === message.seq)
  if (!here.value) return null
  return (
    <div class="tools uncopied" role="toolbar" aria-label={t('tools')}>
      {!message.deleted && (
        <CopyButton label={t('copyText')} text={() => message.content}>
          <Copy />
        </CopyButton>
      )}
      <CopyButton label={t('copyLink')} text={() => location.origin + pathOf({ room, seq: message.seq })}>
        <Link />
      </CopyButton>
    </div>
  )
}

/** Copies a text, and shows for a moment that it was copied. */
export function CopyButton({ label, text, wide, children }: { label: string; text: () => string; wide?: boolean; children: ComponentChildren }) {
  const [done, setDone] = useState(false)
  useEffect(() => {
    if (!done) return
    const timer = setTimeout(() => setDone(false), 1500)
    return () => clearTimeout(timer)
  }, [done])
  return (
    <button
      type="button"
      class={[wide ? 'secondary with-symbol' : 'icon', done && 'done'].filter(Boolean).join(' ')}
      aria-label={wide ? undefined : done ? t('copied') : label}
      title={wide ? undefined : label}
      onClick={() => void copy(text()).then(setDone)}
    >
      {done ? <Check /> : children}
      {wide && <span>{done ? t('copied') : label}</span>}
    </button>
  )
}

async function copy(text: string): Promise<boolean> {
  try {
    await navigator.clipboard.writeText(text)
    return true
  } catch {
    return copyByHand(text)
  }
}

/** Pages have no clipboard over plain HTTP, but a selection can be copied. */
function copyByHand(text: string): boolean {
  const before = document.activeElement
  const field = document.createElement('textarea')
  field.className = 'hidden'
  field.value = text
  document.body.append(field)
  field.select()
  const done = document.execCommand('copy')
  field.remove()
  if (before instanceof HTMLElement) before.focus({ preventScroll: true })
  return done
}
