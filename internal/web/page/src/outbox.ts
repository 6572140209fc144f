// What the user writes: drafts, and messages, which are shown at once and kept until
// they are acknowledged.

import { batch } from '@preact/signals'
import { loadNewest } from './history'
import { randomID, type Ack, type Refusal } from './protocol'
import { markRead, take, advance } from './reading'
import { send } from './session'
import * as state from './state'
import { find, noLine, type Room } from './state'
import { dropPending, keepDraft, keepPending, type Pending } from './storage'

/** How long what is being written may be unkept. Milliseconds. */
const draftWait = 200

/** Says something in a room: it is shown at once and sent until it is acknowledged. */
export function say(room: Room, content: string): void {
  const pending: Pending = { room: room.name, id: randomID(), username: state.username.value, content, time: new Date().toISOString() }
  keepPending(pending)
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

/** Sends what waits for a room. What another tab has sent is stored once all the same. */
export function transmitAll(room: Room): void {
  for (const pending of state.pending.value) if (pending.room === room.name && !pending.error) transmit(pending)
}

/** Sends again what was refused. */
export function retry(id: string): void {
  const found = state.pending.value.find((p) => p.id === id)
  if (!found) return
  const { error: _, ...again } = { ...found, username: state.username.value }
  // An id that is taken by another message never works again.
  if (found.error?.code === 'id_conflict') {
    again.id = randomID()
    dropPending(id, true)
  }
  update(id, again)
  transmit(again)
}

/** Gives up what was refused. */
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

/** A send is done: it is pending no more. */
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
 * What was said under another name may be stored under that one: it is not sent
 * again unless the user wants it.
 */
export function disown(username: string): void {
  if (state.pending.value.every((p) => p.username === username)) return
  state.pending.value = state.pending.value.map((p) =>
    p.username === username ? p : { ...p, error: { code: 'other_name', message: '' } },
  )
}

/** Gives up all that is not sent. */
export function discardAll(): void {
  for (const p of state.pending.value) dropPending(p.id, true)
  state.pending.value = []
}

/** Moves what has been written in a room to the name that the server has for it. */
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
  // A duplicate has been given as a message before.
  if (pending && !event.duplicate) take(room, { seq: event.seq, id: event.id, username, content: pending.content, time: event.time })
  else if (!event.duplicate) advance(room, event.seq)
  room.changed()
}

/** Refusals that pass; the send is tried again by itself. */
const passing = new Set(['unavailable', 'storage_full', 'internal', 'rate_limited', 'not_joined'])

export function receiveError(event: Refusal): void {
  const id = event.id ?? event.ref
  const pending = state.pending.value.find((p) => p.id === id)
  if (!pending) {
    state.notice.value = event
    return
  }
  if (passing.has(event.code)) {
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

/** Keeps what is being written in a room. */
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
