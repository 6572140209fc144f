// The user's rooms: switching, joining, resuming and leaving. Cursors are kept as
// docs/protocol.md asks under "Resuming".

import { batch } from '@preact/signals'
import { RequestError } from './connection'
import { detachAll } from './drafts'
import { loadNewest, loadShown } from './history'
import { loadWhoIsHere } from './names'
import { moveTo, transmitAll } from './outbox'
import { isTemporary, type Cursor, type History, type Joined, type Refusal } from './protocol'
import { drawLine } from './reading'
import * as route from './route'
import { ask, send } from './session'
import * as state from './state'
import { add, find, noLine, Room, Thread } from './state'
import { keepRoom, load, save } from './storage'
import { turn } from './turn'

/** After missing more messages than this, the reader stays in place. */
const holdAfter = 15
/** The shortest time until a refused join is tried again. Milliseconds. */
const joinWait = 5000
/** After missing more than this, the page skips to the head and loads the rest on demand. */
const skipAfter = 1000

/** Takes a room out of the list. */
export function drop(room: Room): void {
  state.rooms.value = state.rooms.value.filter((r) => r !== room)
  keepRoom(room.name, false)
}

export function forget(room: Room): void {
  room.clear()
  room.cursor = undefined
  room.following = true
  room.joined.value = false
  room.members.value = undefined
  room.read.value = room.newest.value = room.gapBefore.value = room.uncounted.value = room.told = room.notified = 0
  room.line.value = noLine
  room.changed()
}

/** Goes to a room, and to a message in it. Unless it may be created, an unknown room is looked up first. */
export function show(place: route.Place, how: 'push' | 'replace' | 'none' = 'push', make = false): void {
  batch(() => {
    const left = state.room.value
    if (left && left.name !== place.room) {
      left.line.value = noLine
      left.held = false
      left.flagged = 0
      if (left.doubt.value) drop(left)
      else if (!left.member.value) {
        send({ type: 'unwatch', room: left.name })
        drop(left)
      }
    }
    const known = find(place.room) !== undefined
    const room = add(place.room)
    if (!known && !make) room.doubt.value = 'asking'
    // An account joins a room for good, and so only when it says so.
    if (!known && !make && state.account.value) room.member.value = false
    if (how === 'push') state.asked.value = true
    state.current.value = room.name
    showBeside(room, place.panel)
    save('room', room.name)
    if (left !== room) {
      state.spoken.value = []
      state.notice.value = undefined
      room.held = false
      drawLine(room)
    }
    if (how !== 'none') route.show(place, how)
    state.target.value = place.seq === undefined ? undefined : { room: place.room, seq: place.seq, visit: ++visits, focus: turn() }
    if (state.status.value !== 'open') return
    if (!known || (!room.joined.value && left !== room)) enterRoom(room)
    else void loadShown(room)
  })
}
let visits = 0

/** Shows a panel beside a room, or none. */
function showBeside(room: Room, panel: route.Panel | undefined): void {
  state.panel.value = panel
  const thread = panel?.kind === 'thread' ? panel.seq : undefined
  if (room.thread.value?.seq === thread) return
  room.thread.value = thread === undefined ? undefined : new Thread(room, thread)
}

/** Joins a room, or looks it up first. */
export function enterRoom(room: Room): void {
  if (room.doubt.value === 'closed') return
  if (room.doubt.value) void lookFor(room)
  else void joinRoom(room)
}

/** Creates a missing room at the user's request. */
export function make(room: Room): void {
  room.doubt.value = undefined
  if (state.status.value === 'open') void joinRoom(room)
}

/** A mistyped address must not create a room, which would stay for ever. */
async function lookFor(room: Room): Promise<void> {
  room.doubt.value = 'asking'
  try {
    await ask<History>({ type: 'history', room: room.name, limit: 1 })
  } catch (error) {
    if (!(error instanceof RequestError) || !error.refusal) return // the next welcome asks again
    if (error.refusal.code === 'not_found') room.doubt.value = 'missing'
    else giveUp(room, error.refusal)
    return
  }
  room.doubt.value = undefined
  await joinRoom(room)
}

/** A room cannot be entered. */
function giveUp(room: Room, why: Refusal): void {
  batch(() => {
    drop(room)
    if (state.current.value === room.name) goElsewhere(room)
    // A ban, an archived room, or a private one: the server does not say which.
    state.notice.value = why.code === 'forbidden' ? { ...why, code: 'barred' } : why
  })
}

/** Shows another room than one that is gone. */
export function goElsewhere(room: Room): void {
  const other = state.rooms.value.find((r) => r !== room && r.member.value)
  // Whoever was removed from the last room does not come back by themselves.
  if (!other && room.name === 'lobby') {
    const kept = add('lobby')
    kept.doubt.value = 'closed'
    return
  }
  show({ room: other?.name ?? 'lobby' }, 'replace', !state.account.value)
}

/** Becomes a member of a room that was read from outside. */
export function become(room: Room): void {
  room.member.value = true
  void joinRoom(room)
}

async function joinRoom(room: Room): Promise<void> {
  const cursor = room.cursor
  room.members.value = undefined
  try {
    const skips = cursor !== undefined && (await newest(room)) - cursor.seq > skipAfter
    const joined = await ask<Joined>({
      type: room.member.value ? 'join' : 'watch',
      room: room.name,
      ...(cursor && !skips ? { epoch: cursor.epoch, after: cursor.seq } : {}),
    })
    if (skips && joined.epoch !== cursor.epoch) {
      beginAgain(room, undefined)
    } else if (skips) {
      skip(room, joined)
    }
    entered(room, joined)
  } catch (error) {
    if (!(error instanceof RequestError) || !error.refusal) return // the next welcome joins again
    if (error.refusal.code === 'resync' && cursor) {
      beginAgain(room, error.refusal.epoch === cursor.epoch ? (error.refusal.oldest ?? 0) : undefined)
      return joinRoom(room)
    }
    if (isTemporary(error.refusal.code)) return tryAgain(room, error.refusal)
    giveUp(room, error.refusal)
  }
}

/** Tries again later to join a room, which stays in the list. */
function tryAgain(room: Room, why: Refusal): void {
  if (room.here.value) state.notice.value = why
  setTimeout(
    () => {
      if (state.status.value === 'open' && !room.joined.value && find(room.name) === room) void joinRoom(room)
    },
    Math.max(joinWait, why.retry_after_ms ?? 0),
  )
}

/**
 * The room's log cannot be continued from the cursor. The page starts over with the
 * newest messages, and shows that there is a gap, or that these are other messages.
 */
function beginAgain(room: Room, oldest: number | undefined): void {
  const [read, newest, unread, told] = [room.read.peek(), room.newest.peek(), room.unread.peek(), room.told]
  forget(room)
  if (oldest === undefined) {
    if (room.here.value) showBeside(room, undefined)
    state.notice.value = { code: 'replaced_server', message: '' }
    return
  }
  room.gapBefore.value = oldest
  room.newest.value = newest
  room.told = told
  skipGap(room, read, unread)
}

/** What is no longer kept cannot be read any more: it counts as read, and what is left is as unread as it was. */
function skipGap(room: Room, read: number, unread: number): void {
  room.read.value = Math.max(read, room.gapBefore.peek() - 1)
  // How many there are is known for an account, from the server.
  room.uncounted.value = state.account.peek() ? Math.max(0, room.newest.peek() - room.read.peek() - unread) : 0
}

/** The newest entry that the server has in a room; 0 if it has none. */
async function newest(room: Room): Promise<number> {
  try {
    const found = await ask<History>({ type: 'history', room: room.name, limit: 1 })
    return found.last ?? found.messages[0]?.seq ?? 0
  } catch (error) {
    if (error instanceof RequestError && error.refusal) return 0 // the join says why
    throw error
  }
}

/** Continues at the head. Missed messages are loaded as the reader gets to them. */
function skip(room: Room, joined: Joined): void {
  room.cursor = { epoch: joined.epoch, seq: joined.head }
  room.miss()
  room.following = false
}

/** How far a room was read at the last visit. */
function kept(room: Room): Cursor | undefined {
  return (load('read') ?? {})[room.name]
}

function entered(room: Room, joined: Joined): void {
  batch(() => {
    if (joined.room !== room.name) room = rename(room, joined.room)
    const allRead = room.unread.value === 0
    room.head = joined.head
    room.newest.value = Math.max(room.newest.value, joined.head)
    room.memberCount.value = joined.members
    room.joined.value = true
    if (!room.cursor) {
      room.cursor = { epoch: joined.epoch, seq: joined.head }
      const before = kept(room)
      const read = room.gapBefore.value > 0 ? room.read.value : before?.epoch === joined.epoch ? before.seq : joined.head
      // The account's position has come from the server.
      if (!state.account.value) room.read.value = Math.min(read, joined.head)
      else if (!room.member.value) room.read.value = joined.head
    } else if (joined.head - room.cursor.seq > holdAfter) {
      // Nobody wants to be dragged past hundreds of messages: the reader stays where
      // the break was, with the unread line below.
      room.following = false
    }
    detachAll(room, joined.epoch)
    if (room.unreadFrom.value !== undefined) drawLine(room)
    else if (room.unread.value > 0 && (allRead || room.line.value === noLine)) room.line.value = room.read.value
    room.changed()
  })
  if (room.member.value) keepRoom(room.name, true)
  transmitAll(room)
  room.membersOld = true
  if (room.name === state.current.value) void loadShown(room)
  else loadWhoIsHere(room)
}

/** The server has another spelling of a room's name: adopts it. */
function rename(room: Room, name: string): Room {
  const existing = find(name)
  const renamed = existing ?? new Room(name)
  state.rooms.value = existing
    ? state.rooms.value.filter((r) => r !== room)
    : state.rooms.value.map((r) => (r === room ? renamed : r))
  keepRoom(room.name, false)
  moveTo(room, renamed)
  if (state.current.value === room.name) {
    state.current.value = name
    const place = route.read()
    route.show({ ...place, room: name }, 'replace')
    showBeside(renamed, place?.panel)
  }
  return renamed
}

/** The server no longer has the next entries: continues behind a gap. */
export function resync(event: Refusal): void {
  const room = find(event.room ?? '')
  if (!room) return
  batch(() => {
    room.clear()
    room.cursor = { epoch: event.epoch ?? room.cursor?.epoch ?? '', seq: event.head ?? 0 }
    detachAll(room, room.cursor.epoch)
    room.head = room.newest.value = event.head ?? 0
    room.gapBefore.value = event.oldest ?? 0
    room.changed()
  })
  if (room.name === state.current.value) void loadNewest(room)
}

/** Leaves a room for good. */
export function part(room: Room): void {
  send({ type: 'part', room: room.name })
  batch(() => {
    drop(room)
    if (state.rooms.value.length === 0 && !state.account.value) add('lobby')
    if (state.current.value !== room.name) return
    const next = state.rooms.value.find((r) => r.member.value)
    show({ room: next?.name ?? 'lobby' }, 'push', !state.account.value)
  })
}
