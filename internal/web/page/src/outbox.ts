// The user's own messages, shown at once and kept until they are acknowledged; and
// drafts.

import { batch } from '@preact/signals'
import { changeOfAck } from './acts'
import { loadNewest } from './history'
import { messageID } from './id'
import { isTemporary, type Ack, type Refusal } from './protocol'
import { markRead, receiveEntry, take } from './reading'
import { send } from './session'
import * as state from './state'
import { find, noLine, type Room } from './state'
import { dropPending, keepDraft, keepPending, type Pending } from './storage'
import { stopTyping } from './typing'

/** How long a draft may go unsaved. Milliseconds. */
const draftWait = 200

/** Sends a message to a room. It is shown at once, and sent again until it is acknowledged. */
export function say(room: Room, content: string): void {
  const pending: Pending = { room: room.name, id: messageID(), username: state.username.value, content, time: new Date().toISOString() }
  keepPending(pending)
  stopTyping(room)
  batch(() => {
    state.pending.value = [...state.pending.value, pending]
    room.line.value = noLine
    room.following = true
    if (room.log.attached) markRead(room, room.newest.value)
    else void loadNewest(room)
    room.changed()
  })
  transmit(pending)
}

export function transmit(pending: Pending): void {
  const { room, id, content } = pending
  if (find(room)?.joined.value) send({ type: 'send', room, id, content }, id)
}

/** Sends the pending messages of a room. One that another tab has sent too is stored once. */
export function transmitAll(room: Room): void {
  for (const pending of state.pending.value) if (pending.room === room.name && !pending.error) transmit(pending)
}

/** Sends a refused message again. */
export function retry(id: string): void {
  const found = state.pending.value.find((p) => p.id === id)
  if (!found) return
  const { error: _, ...again } = { ...found, username: state.username.value }
  // An id that belongs to another message is never accepted.
  if (found.error?.code === 'id_conflict') {
    again.id = messageID()
    dropPending(id, true)
  }
  update(id, again)
  transmit(again)
}

/** Discards a refused message. */
export function discard(id: string): void {
  update(id, undefined)
  dropPending(id, true)
}

function update(id: string, to: Pending | undefined): void {
  const room = find(state.pending.value.find((p) => p.id === id)?.room ?? '')
  state.pending.value = state.pending.value.flatMap((p) => (p.id !== id ? [p] : to ? [to] : []))
  if (to) keepPending(to)
  room?.changed()
}

/** A message is stored: it is no longer pending. */
export function settle(room: string, id: string, username: string): Pending | undefined {
  if (state.pending.value.length === 0) return undefined
  const found = state.pending.value.find((p) => p.id === id && p.room === room && p.username === username)
  if (found) {
    update(id, undefined)
    dropPending(id, false)
  }
  return found
}

/**
 * A message that was sent under another name may be stored under that one. It is not
 * sent again unless the user asks for it.
 */
export function disown(username: string): void {
  if (state.pending.value.every((p) => p.username === username)) return
  state.pending.value = state.pending.value.map((p) =>
    p.username === username ? p : { ...p, error: { code: 'other_name', message: '' } },
  )
}

/** Discards all pending messages. */
export function discardAll(): void {
  for (const p of state.pending.value) dropPending(p.id, true)
  state.pending.value = []
}

/** Moves messages and draft of a room to the server's spelling of its name. */
export function moveTo(room: Room, renamed: Room): void {
  for (const p of state.pending.value) if (p.room === room.name) update(p.id, { ...p, room: renamed.name })
  if (!room.drafted.value) return
  if (!renamed.drafted.value) draft(renamed, room.draft.value)
  draft(room, '')
}

export function receiveAck(event: Ack): void {
  const room = find(event.room)
  const username = state.username.value
  const pending = settle(event.room, event.id, username)
  if (!room) return
  // A duplicate has arrived as a message before.
  if (pending && !event.duplicate) take(room, { seq: event.seq, id: event.id, username, content: pending.content, time: event.time })
  else if (!event.duplicate) {
    const change = changeOfAck(event.id)
    if (change) take(room, { seq: event.seq, id: event.id, username, content: '', time: event.time, change })
    else receiveEntry(event)
  }
  room.changed()
}

export function receiveError(event: Refusal): void {
  const id = event.id ?? event.ref
  const pending = state.pending.value.find((p) => p.id === id)
  if (!pending) {
    state.notice.value = event
    return
  }
  // A message is sent again by itself, also when the room has to be joined again first.
  if (isTemporary(event.code) || event.code === 'not_joined') {
    setTimeout(() => {
      const still = state.pending.value.find((p) => p.id === id)
      if (still && !still.error) transmit(still)
    }, event.retry_after_ms ?? 2000)
    return
  }
  const { code, message, max, actual } = event
  update(pending.id, { ...pending, error: { code, message, ...(max === undefined ? {} : { max }), ...(actual === undefined ? {} : { actual }) } })
}

const unkept = new Set<Room>()
let keeping: ReturnType<typeof setTimeout> | undefined

/** Saves the draft of a room. */
export function draft(room: Room, text: string): void {
  room.draft.value = text
  unkept.add(room)
  keeping ??= setTimeout(keepDrafts, draftWait)
}

export function keepDrafts(): void {
  clearTimeout(keeping)
  keeping = undefined
  for (const room of unkept) keepDraft(room.name, room.draft.value)
  unkept.clear()
}
