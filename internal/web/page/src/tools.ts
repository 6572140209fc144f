// Which message shows its tools: the one under the pointer, the one with the focus, the one that a
// finger rests on, and the one with a tool that is open.

import { effect, signal } from '@preact/signals'
import { current } from './state'

/** The row that the pointer is over, and the one with the focus; empty for none. */
export const pointed = signal('')
export const focused = signal('')
/** A tool that has taken the place of the others. */
export const opened = signal<{ row: string; tool: Tool } | undefined>(undefined)

/** A reaction is chosen, or a deletion confirmed. */
export type Tool = 'react' | 'delete'

// In another room the numbers mean other messages.
effect(() => {
  void current.value
  opened.value = undefined
})

// A click elsewhere closes what is open.
addEventListener('pointerdown', ({ target }) => {
  if (opened.peek() && !(target instanceof Element && target.closest('.tools, dialog'))) opened.value = undefined
}, { capture: true })

/** The row of a message in the list of a room, or in that of a thread: a message may be in both. */
export const rowOf = (seq: number, thread?: number): string => (thread === undefined ? `${seq}` : `${thread}/${seq}`)

function rowAt(target: EventTarget | null): string {
  const row = target instanceof Element ? target.closest<HTMLElement>('[data-row]') : null
  return row?.dataset.row ?? ''
}

/** Follows the pointer over the rows of a list. */
export function point(event: Event): void {
  pointed.value = event.type === 'mouseleave' ? '' : rowAt(event.target)
}

/** Follows the focus of the keyboard. A resting pointer must not take the tools away from it. */
export function follow(event: FocusEvent): void {
  const at = event.type === 'focusout' ? event.relatedTarget : event.target
  focused.value = at instanceof Element && at.matches(':focus-visible') ? rowAt(at) : ''
}

/** How long a finger rests on a message until its tools appear. Milliseconds. */
const longPress = 450

let resting: ReturnType<typeof setTimeout> | undefined

/** A finger touches a row. */
export function press(event: PointerEvent): void {
  release()
  if (event.pointerType !== 'touch' || !pressable(event.target)) return
  const row = rowAt(event.target)
  resting = setTimeout(() => (pointed.value = row), longPress)
}

/** The finger is gone, or scrolls. */
export function release(): void {
  clearTimeout(resting)
}

/** The browser would open its own menu, or select the text under the finger. */
export function hold(event: MouseEvent): void {
  if ((event as PointerEvent).pointerType !== 'touch' || !pressable(event.target)) return
  event.preventDefault()
  release()
  pointed.value = rowAt(event.target)
}

/** Links and buttons have a meaning of their own. */
const pressable = (target: EventTarget | null): boolean => target instanceof Element && !target.closest('a, button, .tools')
