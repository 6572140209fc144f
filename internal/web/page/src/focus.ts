// The one place that decides what has the focus. Whatever opens or closes a part of
// the page does so here: the document has changed, and the focus is where it belongs,
// before the next key is handled. Nothing moves the focus later, except code that has
// taken a turn and still has it.

import { batch } from '@preact/signals'
import { composeFor } from './drafts'
import { become, make, show } from './rooms'
import { show as showAddress, type Panel, type Place } from './route'
import { renderNow } from './frame'
import { account, beside, current, dialog, drawer, emojiFor, panel, room, subject, type Dialog, type EmojiFor, type Field, type Room } from './state'
import type { Composing } from './storage'
import { focused, opened, pointed, type Tool } from './tools'
import { endTurns } from './turn'

/** On a touch screen, focusing a field opens the keyboard, which nobody asked for. */
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
 * When a dialog closes, Chromium returns the focus to a field, but not always the
 * caret: keys reach the field and leave no text. Focusing it again sets both.
 */
function setCaret(): void {
  const field = document.activeElement
  if (!(field instanceof HTMLTextAreaElement || field instanceof HTMLInputElement)) return
  field.blur()
  field.focus({ preventScroll: true })
}

const input: Goal = () => !touch() && document.getElementById('input')
const search: Goal = () => document.getElementById('search')
/** A closing dialog returns the focus to where it came from, which may be gone. */
const back: Goal = () => (document.activeElement === document.body || document.activeElement === null) && input()

export function openDialog(name: Dialog, about = ''): void {
  move(
    () => {
      subject.value = about
      dialog.value = name
    },
    // A dialog that opens focuses this by itself; one that replaces another does not.
    () => document.querySelector<HTMLElement>('dialog [autofocus]'),
  )
}

export function closeDialog(): void {
  if (dialog.peek() === 'emoji') return closeEmoji()
  move(() => (dialog.value = undefined), back)
}

/** Opens the choice of an emoji: for a reaction to a message, or for a field. */
export function openEmoji(opener: HTMLElement, about: EmojiFor): void {
  move(
    () => {
      if ('row' in about) opened.value = { row: about.row, tool: 'react' }
      emojiFor.value = { ...about, at: (opener.closest('.tools') ?? opener).getBoundingClientRect() }
      dialog.value = 'emoji'
    },
    () => document.querySelector<HTMLElement>('dialog [autofocus]'),
  )
}

export function closeEmoji(): void {
  const about = emojiFor.peek()
  move(
    () => (dialog.value = emojiFor.value = undefined),
    () => about && 'input' in about && !touch() && document.getElementById(about.input),
  )
  if (about && 'row' in about) closeTool()
}

/** Searches, at first for nothing. The query that is in the panel already stays. */
export function openSearch(query = ''): void {
  const shown = panel.peek()
  move(() => {
    if (shown?.kind === 'search') return
    dialog.value = undefined
    drawer.value = undefined
    show({ room: current.peek(), panel: { kind: 'search', query, everywhere: false } })
  }, search)
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

/** Opens a tool of a message. */
export function openTool(row: string, tool: Tool): void {
  move(
    () => (opened.value = { row, tool }),
    () => document.querySelector<HTMLElement>('.tools [data-first]'),
  )
}

/** Closes the open tool of a message. The focus goes back to its button, or to the message if that is gone. */
export function closeTool(): void {
  const closed = opened.peek()
  if (!closed) return
  const row = `[data-row="${closed.row}"]`
  move(
    () => {
      opened.value = undefined
      // Under a finger the tools have done their work.
      if (touch()) pointed.value = ''
    },
    () => {
      // What had the focus is gone, and the tools with it unless the message is to have it.
      if (!touch()) focused.value = closed.row
      renderNow()
      return document.querySelector<HTMLElement>(`${row} [data-tool=${closed.tool}]`) ?? document.querySelector<HTMLElement>(row)
    },
  )
  if (touch()) focused.value = ''
}

/** Sets what a field is for, and goes there. */
export function compose(field: Field, what: Composing | undefined): void {
  move(
    () => {
      composeFor(field, what)
      if (touch()) pointed.value = ''
    },
    () => document.getElementById(field.input),
  )
}

/** Becomes a member of the room on the screen. */
export function becomeMember(room: Room): void {
  move(() => become(room), input)
}

/** Tries to join a room again that the user was removed from. */
export function comeBack(room: Room): void {
  move(() => make(room), input)
}

/** Creates the missing room, and goes to it. */
export function makeRoom(room: Room): void {
  // With an account there is something to choose.
  if (account.peek()) return openDialog('create', room.name)
  move(() => make(room), input)
}

/**
 * Goes to a place at the user's request, and closes whatever is open above it. A panel stays that is beside the
 * room.
 */
export function visit(place: Place, how: 'push' | 'replace' | 'none' = 'push', make = false): void {
  const stays = beside.peek() && place.room === current.peek() ? panel.peek() : undefined
  move(
    () => {
      dialog.value = undefined
      drawer.value = undefined
      show({ panel: stays, ...place }, how, make)
    },
    () => place.seq === undefined && input(),
  )
}

/** The place in a panel that takes the focus: a field, or its title on a touch screen. */
const inPanel: Goal = () => (!touch() && document.querySelector<HTMLElement>('.panel textarea, .panel input, .panel #inbox')) || document.getElementById('panel-title')

/** Shows a panel beside the room on the screen. */
export function openPanel(opened: Panel): void {
  move(() => {
    dialog.value = undefined
    drawer.value = undefined
    show({ room: current.peek(), panel: opened })
  }, inPanel)
}

/** Closes the panel. The focus goes to the message that it was about, if it was in the panel. */
export function closePanel(): void {
  const closed = panel.peek()
  const inside = document.activeElement?.closest('.panel')
  move(
    () => {
      panel.value = undefined
      const shown = room.peek()
      if (!shown) return
      shown.thread.value = undefined
      showAddress({ room: shown.name }, 'replace')
    },
    () => (inside && closed?.kind === 'thread' && document.querySelector<HTMLElement>(`#messages .row[data-seq="${closed.seq}"]`)) || input(),
  )
}

/** Shows a place in the room behind what has the focus, or what will have it, and keeps the panel. */
export function lookAt(place: Place, goal: Goal): void {
  move(() => show({ panel: panel.peek(), ...place }, 'replace'), goal)
  // The message that is shown does not take the focus.
  endTurns()
}

/** Shows what a search finds. The focus stays in its field, or where it is. */
export function lookFor(wanted: Panel, inField = true): void {
  move(
    () => show({ room: current.peek(), panel: wanted }, 'replace'),
    () => inField && search(),
  )
}
