// The user's own messages and changes of messages, shown at once and kept until they are
// acknowledged.

import { batch } from '@preact/signals'
import { changeOfAck } from './acts'
import { spelled, spelling } from './completion'
import { composeFor, moveDraft } from './drafts'
import { version } from './fold'
import { loadNewest } from './history'
import { messageID } from './id'
import { isTemporary, type Ack, type Amend, type FileInfo, type Refusal } from './protocol'
import { markRead, receiveEntry, take } from './reading'
import { send } from './session'
import * as state from './state'
import { find, noLine, type Room } from './state'
import { dropPending, keepPending, type Pending } from './storage'
import { stopTyping } from './typing'

/** Sends a message to a room. It is shown at once, and sent again until it is acknowledged. */
export function say(room: Room, content: string, replyTo?: number, files?: FileInfo[]): void {
  stopTyping(room)
  batch(() => {
    room.held = false
    room.line.value = noLine
    room.following = true
    if (room.log.attached) markRead(room, room.newest.value)
    else void loadNewest(room)
    put(room, { content, ...(replyTo === undefined ? {} : { reply_to: replyTo }), ...(files ? { files } : {}) })
  })
}

/** Sends a message that answers another one, from beside the room: the reader stays in place there. */
export function answer(room: Room, content: string, replyTo: number, files?: FileInfo[]): void {
  stopTyping(room)
  batch(() => put(room, { content, reply_to: replyTo, ...(files ? { files } : {}) }))
}

/** Changes a message. That is shown at once, and sent again until it is acknowledged. */
export function amend(room: Room, change: Amend): void {
  batch(() => put(room, { content: '', amend: change }))
}

function put(room: Room, what: Pick<Pending, 'content' | 'reply_to' | 'amend' | 'files'>): void {
  const epoch = what.amend || what.reply_to !== undefined ? room.cursor?.epoch : undefined
  const pending: Pending = { room: room.name, id: messageID(), username: state.username.value, time: new Date().toISOString(), ...(epoch === undefined ? {} : { epoch }), ...what, content: spelled(what.content) }
  keepPending(pending)
  const wait = spelling(pending.content)
  const late = wait !== undefined || state.pending.value.some((p) => p.late)
  state.pending.value = [...state.pending.value, late ? { ...pending, late } : pending]
  room.changed()
  if (!late) transmit(pending)
  void wait?.then(transmitLate)
}

/** Sends what has waited for the list of emoji, with emoji for names. */
function transmitLate(): void {
  for (const { late, ...pending } of state.pending.value) {
    if (!late) continue
    const now = { ...pending, content: spelled(pending.content) }
    update(now.id, now)
    transmit(now)
  }
}

export function transmit(pending: Pending): void {
  const to = find(pending.room)
  if (!to?.joined.value || to.refused || pending.late) return
  if (isOrphan(pending, to)) return update(pending.id, { ...pending, error: { code: 'no_message', message: '' } })
  if (firstOf(pending) !== pending) return
  const { room, id, content, amend: change, reply_to, files } = pending
  send(change ? { ...change, room, id } : { type: 'send', room, id, content, ...(reply_to === undefined ? {} : { reply_to }), ...(files ? { files: files.map((f) => f.file) } : {}) }, id)
}

/** Whether it is about a message of another epoch: its number is another message's now. */
function isOrphan({ amend: change, reply_to, epoch }: Pending, room: Room): boolean {
  return (change !== undefined || reply_to !== undefined) && epoch !== room.cursor?.epoch
}

/** Changes of one message are sent one after the other: a refused one would change their order otherwise. */
function firstOf(pending: Pending): Pending | undefined {
  if (!pending.amend) return pending
  const { room, amend: { target } } = pending
  return state.pending.value.find((p) => p.room === room && p.amend?.target === target && !p.error && !p.elsewhere)
}

/** Sends the pending messages of a room. One that another tab has sent too is stored once. */
export function transmitAll(room: Room): void {
  for (const pending of state.pending.value) if (pending.room === room.name && !pending.error) transmit(pending)
}

/** Sends what was refused again. An edit then replaces the version that the user sees now. */
export function retry(id: string): void {
  const found = state.pending.value.find((p) => p.id === id)
  if (!found) return
  const { error: _, ...again } = { ...found, username: state.username.value }
  // An id that belongs to another message is never accepted.
  if (found.error?.code === 'id_conflict') {
    again.id = messageID()
    dropPending(id, true)
  }
  if (isLost(found.error?.code)) delete again.reply_to // it goes out as a message of its own
  const seen = again.amend && find(again.room)?.message(again.amend.target)
  if (again.amend?.type === 'edit' && seen) again.amend = { ...again.amend, base: version(seen) }
  update(id, again)
  transmit(again)
}

/** Whether the message that something is about is not there any more. */
export function isLost(code: string | undefined): boolean {
  return code === 'gone' || code === 'no_message'
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

/** A message or a change is stored: it is no longer pending. */
export function settle(room: string, id: string, username: string, seq: number): Pending | undefined {
  if (state.pending.value.length === 0) return undefined
  const found = state.pending.value.find((p) => p.id === id && p.room === room && p.username === username)
  if (!found) return undefined
  update(id, undefined)
  dropPending(id, false)
  if (found.amend?.type === 'edit') rebase(room, found.amend.target, found.amend.base, seq)
  if (found.amend) sendNext(found)
  return found
}

/** Further edits by the user are edits of the version that is stored now. */
function rebase(room: string, target: number, from: number, to: number): void {
  for (const p of state.pending.value) {
    if (p.room === room && p.amend?.type === 'edit' && p.amend.target === target && p.amend.base === from) update(p.id, { ...p, amend: { ...p.amend, base: to } })
  }
  const here = find(room)
  for (const field of [here, here?.thread.peek()]) {
    const now = field?.composing.value
    if (field && now?.type === 'edit' && now.seq === target && now.base === from) composeFor(field, { ...now, base: to })
  }
}

/** Sends the change that has waited for another one of the same message. */
function sendNext(done: Pending): void {
  const next = firstOf(done)
  if (next) transmit(next)
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
  moveDraft(room, renamed)
}

export function receiveAck(event: Ack): void {
  const room = find(event.room)
  const username = state.username.value
  const pending = settle(event.room, event.id, username, event.seq)
  if (!room) return
  const { seq, id, time } = event
  // A duplicate has arrived as an entry before.
  if (pending?.amend && !event.duplicate) receiveEntry({ ...pending.amend, room: event.room, seq, id, username, time })
  else if (pending && !event.duplicate) {
    take(room, { seq, id, username, content: pending.content, time, ...(pending.reply_to === undefined ? {} : { reply_to: pending.reply_to }), ...(pending.files ? { files: pending.files } : {}) })
  } else if (!event.duplicate) {
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
  // A message is sent again by itself, also when the room has to be joined again first. If the server
  // says when, those behind it wait, or are sent again with it: none overtakes another.
  if (isTemporary(event.code) || event.code === 'not_joined') {
    const room = find(pending.room)
    if (!room || room.refused) return
    const after = event.retry_after_ms
    room.refused = !!after
    setTimeout(() => {
      room.refused = false
      transmitAll(room)
    }, after ?? 2000)
    return
  }
  const { code: said, message, max, actual } = event
  const code = said === 'not_found' ? (pending.files ? 'no_file' : pending.amend || pending.reply_to ? 'no_message' : said) : said
  update(pending.id, { ...pending, error: { code, message, ...(max === undefined ? {} : { max }), ...(actual === undefined ? {} : { actual }) } })
  if (pending.amend) sendNext(pending)
}
