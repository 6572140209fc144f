// Which message shows its tools: the one under the pointer, the one with the focus, the one that a
// finger rests on, and the one with a tool that is open.

import { effect, signal } from '@preact/signals'
import { current } from './state'

/** The seq of the message that the pointer is over, and of the one with the focus; 0 for none. */
export const pointed = signal(0)
export const focused = signal(0)
/** A tool that has taken the place of the others. */
export const opened = signal<{ seq: number; tool: Tool } | undefined>(undefined)

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

/** How long a finger rests on a message until its tools appear. Milliseconds. */
const longPress = 450

let resting: ReturnType<typeof setTimeout> | undefined

/** A finger touches a row. */
export function press(event: PointerEvent): void {
  release()
  if (event.pointerType !== 'touch' || !pressable(event.target)) return
  const seq = seqOf(event.target)
  resting = setTimeout(() => (pointed.value = seq), longPress)
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
  pointed.value = seqOf(event.target)
}

/** Links and buttons have a meaning of their own. */
const pressable = (target: EventTarget | null): boolean => target instanceof Element && !target.closest('a, button, .tools')
