// A button that copies a text.

import type { ComponentChildren } from 'preact'
import { useEffect, useState } from 'preact/hooks'
import { Check } from './symbols'
import { t } from './texts'

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
