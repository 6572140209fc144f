// The one place that decides what has the focus. Whatever opens or closes a part of
// the page does so here: the document has changed, and the focus is where it belongs,
// before the next key is handled. Nothing moves the focus later, except code that has
// taken a turn and still has it.

import { batch } from '@preact/signals'
import { make, show } from './rooms'
import type { Place } from './route'
import { renderNow } from './frame'
import { dialog, drawer, searching, type Dialog, type Room } from './state'
import { endTurns } from './turn'

/** On a touch screen the focus in a field brings a keyboard up, which nobody asked for. */
export const touch = () => matchMedia('(pointer: coarse)').matches

type Goal = () => HTMLElement | null | undefined | false

function move(change: () => void, to: Goal): void {
  endTurns()
  batch(change)
  renderNow()
  const goal = to()
  if (goal) goal.focus()
  setCaret()
}

/**
 * Chromium gives a field the focus that a closing dialog held, but not always the
 * caret: keys then reach it and leave no text. Taking the focus anew sets both.
 */
function setCaret(): void {
  const field = document.activeElement
  if (!(field instanceof HTMLTextAreaElement || field instanceof HTMLInputElement)) return
  field.blur()
  field.focus({ preventScroll: true })
}

const input: Goal = () => !touch() && document.getElementById('input')
const search: Goal = () => document.getElementById('search')
/** The dialog has given the focus back to where it came from; that may be gone. */
const back: Goal = () => (document.activeElement === document.body || document.activeElement === null) && input()

export function openDialog(name: Dialog): void {
  move(
    () => (dialog.value = name),
    // One that is opened focuses this by itself; one may also take the place of another.
    () => document.querySelector<HTMLElement>('dialog [autofocus]'),
  )
}

export function closeDialog(): void {
  move(() => (dialog.value = undefined), back)
}

export function openSearch(): void {
  move(() => (searching.value = true), search)
}

export function closeSearch(): void {
  move(() => (searching.value = false), input)
}

export function openDrawer(which: 'rooms' | 'members'): void {
  move(
    () => (drawer.value = which),
    () => document.querySelector<HTMLElement>(`#${which} button`),
  )
}

export function closeDrawer(): void {
  const opener = `[aria-controls=${drawer.peek()}]`
  move(
    () => (drawer.value = undefined),
    () => document.querySelector<HTMLElement>(opener),
  )
}

export function focusInput(): void {
  move(() => undefined, input)
}

/** Makes the room that is not there, and goes on in it. */
export function makeRoom(room: Room): void {
  move(() => make(room), input)
}

/** Goes to a place because the user wants to: what was open above it closes. */
export function visit(place: Place, how: 'push' | 'replace' | 'none' = 'push', make = false): void {
  move(
    () => {
      dialog.value = undefined
      drawer.value = undefined
      show(place, how, make)
    },
    () => place.seq === undefined && input(),
  )
}
