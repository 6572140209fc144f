// What the page does: keeps the rooms, carries out what the user asks for, and
// turns events of the server into state. docs/protocol.md, "Resuming", is what
// the bookkeeping of cursors follows.

import { batch, effect, signal } from '@preact/signals'
import { Connection, RequestError, type Status } from './connection'
import { mentions } from './markup'
import { notify } from './notify'
import {
  pageLimit,
  randomID,
  type Ack,
  type Event,
  type History,
  type Joined,
  type LiveMessage,
  type Members,
  type Message,
  type Presence,
  type Refusal,
  type RoomInfo,
  type Rooms,
  type Welcome,
} from './protocol'
import * as route from './route'
import * as state from './state'
import { Room, type Pending } from './state'
import { load, save } from './storage'

/** How many messages a page of history has; what is asked for when scrolling. */
const pageSize = 200
/** How many messages are loaded before one that is gone to. */
const before = 60
/** More missed messages than this are not scrolled through: the reader stays. */
const holdAfter = 15
/** How many names are asked for; beyond them only the count is shown. */
const mostMembers = 2000
const mostRooms = 5000
/** How old the list of a large room's members may be. Milliseconds. */
const membersWait = 30_000

/** New messages of the room that is shown, for screen readers. */
export const spoken = signal<Message[]>([])

const connection = new Connection(location.origin.replace(/^http/, 'ws') + route.base + 'v1/socket', {
  status: changeStatus,
  welcome,
  event: receive,
  refused,
  session: () => load('session'),
})

/** Begins: with the rooms of the last visit and the place that the address names. */
export function start(): void {
  const place = route.read()
  const names = load('rooms') ?? []
  if (names.length === 0) names.push('lobby')
  state.rooms.value = names.map((name) => new Room(name))
  const kept = load('pending') ?? []
  state.pending.value = kept
  for (const p of state.pending.value) add(p.room)
  show(place ?? { room: names[0]! }, 'replace')
  addEventListener('popstate', () => {
    const to = route.read()
    if (to) show(to, 'none')
  })
  const look = () => {
    state.attentive.value = document.visibilityState === 'visible' && document.hasFocus()
  }
  for (const name of ['focus', 'blur', 'pageshow']) addEventListener(name, look)
  document.addEventListener('visibilitychange', look)
  addEventListener('pagehide', saveReads)
  effect(() => save('pending', state.pending.value))
  effect(() => save('drafts', state.drafts.value))
  effect(() => save('rooms', state.rooms.value.map((r) => r.name)))
  if (state.username.value) connection.open(state.username.value)
}

/** Takes a name and connects under it. */
export function enter(username: string): void {
  state.refusal.value = undefined
  connection.open(username)
}

/** Gives the name up; the form asks for another one. */
export function leave(): void {
  connection.close()
  batch(() => {
    state.username.value = ''
    state.pending.value = []
    state.dialog.value = undefined
    for (const room of state.rooms.value) forget(room)
  })
  save('username', undefined)
  save('session', undefined)
}

/** Takes the session back from another tab. */
export function useHere(): void {
  connection.open(state.username.value)
}

function changeStatus(status: Status): void {
  batch(() => {
    state.status.value = status
    if (status !== 'open' && status !== 'silent') for (const room of state.rooms.value) room.joined.value = false
  })
}

function refused(refusal: Refusal): void {
  batch(() => {
    state.refusal.value = refusal
    state.username.value = ''
  })
}

function welcome(event: Welcome): void {
  save('session', event.session)
  save('username', event.username)
  batch(() => {
    state.username.value = event.username
    state.limits.value = event.limits
    state.refusal.value = undefined
    disown(event.username)
  })
  // The room that is shown comes first.
  const shown = state.room.value
  if (shown) void joinRoom(shown)
  for (const room of state.rooms.value) if (room !== shown) void joinRoom(room)
  void loadDirectory()
}

/**
 * What was said under another name may be stored under that one: it is not sent
 * again unless the user wants it.
 */
function disown(username: string): void {
  state.pending.value = state.pending.value.map((p) =>
    p.username === username ? p : { ...p, error: { code: 'other_name', message: '' } },
  )
}

function receive(event: Event): void {
  switch (event.type) {
    case 'message':
      return receiveMessage(event)
    case 'ack':
      return receiveAck(event)
    case 'presence':
      return receivePresence(event)
    case 'error':
      return receiveError(event)
  }
}

function find(name: string): Room | undefined {
  return state.rooms.value.find((r) => r.name === name)
}

/** The room of a name, made and listed if need be. It is not joined here. */
function add(name: string): Room {
  const there = find(name)
  if (there) return there
  const room = new Room(name)
  state.rooms.value = [...state.rooms.value, room]
  return room
}

function remove(room: Room): void {
  state.rooms.value = state.rooms.value.filter((r) => r !== room)
}

function forget(room: Room): void {
  room.log.clear()
  room.cursor = undefined
  room.following = true
  room.joined.value = false
  room.members.value = undefined
  room.read.value = room.newest.value = room.line.value = room.gapBefore.value = 0
  room.changed()
}

// ---- Joining and resuming ----

async function joinRoom(room: Room): Promise<void> {
  const cursor = room.cursor
  room.members.value = undefined
  try {
    const joined = await connection.ask<Joined>({
      type: 'join',
      room: room.name,
      ...(cursor ? { epoch: cursor.epoch, after: cursor.seq } : {}),
    })
    entered(room, joined)
  } catch (error) {
    if (!(error instanceof RequestError) || !error.refusal) return // the next welcome joins again
    if (error.refusal.code === 'resync' && cursor) {
      // Our place is gone. The page is a reader of what is there now: it begins
      // again with the newest messages and says that there is a gap.
      const other = error.refusal.epoch !== cursor.epoch
      forget(room)
      if (other) state.notice.value = { code: 'replaced_server', message: '' }
      else room.gapBefore.value = error.refusal.oldest ?? 0
      return joinRoom(room)
    }
    batch(() => {
      remove(room)
      state.notice.value = error.refusal
      if (state.current.value === room.name) show({ room: state.rooms.value[0]?.name ?? 'lobby' }, 'replace')
    })
  }
}

/** What has been read of a room, from the visit before. */
function kept(room: Room): state.RoomCursor | undefined {
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
      room.read.value = before?.epoch === joined.epoch ? Math.min(before.seq, joined.head) : joined.head
    } else if (joined.head - room.cursor.seq > holdAfter) {
      // Nobody wants to be dragged past hundreds of messages: the reader stays
      // where the break was, with the line below.
      room.following = false
    }
    if (room.unread.value > 0 && (allRead || room.line.value === 0)) room.line.value = room.read.value
    room.changed()
  })
  for (const pending of state.pending.value) if (pending.room === room.name && !pending.error) transmit(pending)
  if (room.name === state.current.value) void loadShown(room)
}

/** A room answers to its name in another spelling: goes by the server's from now on. */
function rename(room: Room, name: string): Room {
  const existing = find(name)
  const renamed = existing ?? new Room(name)
  state.rooms.value = existing
    ? state.rooms.value.filter((r) => r !== room)
    : state.rooms.value.map((r) => (r === room ? renamed : r))
  state.pending.value = state.pending.value.map((p) => (p.room === room.name ? { ...p, room: name } : p))
  if (state.current.value === room.name) {
    state.current.value = name
    const place = route.read()
    route.show({ room: name, ...(place?.seq ? { seq: place.seq } : {}) }, 'replace')
  }
  return renamed
}

// ---- What comes live ----

function receiveMessage(event: LiveMessage): void {
  const room = find(event.room)
  if (!room) return
  const { seq, id, username, content, time } = event
  batch(() => {
    settle(event.room, id, username)
    take(room, { seq, id, username, content, time })
  })
}

function receiveAck(event: Ack): void {
  const room = find(event.room)
  const username = state.username.value
  const pending = settle(event.room, event.id, username)
  if (!room) return
  batch(() => {
    // A duplicate has been given as a message before.
    if (pending && !event.duplicate) take(room, { seq: event.seq, id: event.id, username, content: pending.content, time: event.time })
    else if (!event.duplicate) advance(room, event.seq)
    room.changed()
  })
}

/** Takes the next message of a room's log. */
function take(room: Room, message: Message): void {
  const mine = message.username === state.username.value
  const caughtUp = message.seq > room.head
  if (room.cursor && message.seq <= room.cursor.seq) return
  const shown = room.name === state.current.value
  if (room.unread.value === 0) {
    if (mine) room.line.value = 0
    else if (!(shown && room.following && state.attentive.value)) room.line.value = room.read.value
  }
  const allRead = room.unread.value === 0
  advance(room, message.seq)
  if (mine && (allRead || shown)) markRead(room, message.seq)
  room.log.append(message)
  room.changed()
  if (mine) return
  if (mentions(message.content, state.username.value) && !(shown && state.attentive.value)) room.mentioned.value = true
  if (!caughtUp) return
  if (shown) spoken.value = [...spoken.value.slice(-4), message]
  notify(room.name, message)
}

function advance(room: Room, seq: number): void {
  if (room.cursor && seq > room.cursor.seq) room.cursor = { ...room.cursor, seq }
  if (seq > room.newest.value) room.newest.value = seq
}

function receivePresence(event: Presence): void {
  const room = find(event.room)
  if (!room) return
  batch(() => {
    room.memberCount.value = event.members
    const names = room.members.value
    if (!names) return
    if (!event.joined && !event.left) {
      // A large room: only the count is told. Ask for the names, but not at once.
      askAgain ??= setTimeout(() => {
        askAgain = undefined
        if (state.room.value) void loadMembers(state.room.value)
      }, membersWait)
      return
    }
    const now = new Set(names)
    for (const name of event.left ?? []) now.delete(name)
    for (const name of event.joined ?? []) now.add(name)
    room.members.value = [...now].sort(byName)
  })
}

let askAgain: ReturnType<typeof setTimeout> | undefined

const byName = (a: string, b: string) => a.localeCompare(b)

// ---- Sending ----

/** Says something in a room: it is shown at once and sent until it is acknowledged. */
export function say(room: Room, content: string): void {
  const pending: Pending = { room: room.name, id: randomID(), username: state.username.value, content, time: new Date().toISOString() }
  batch(() => {
    state.pending.value = [...state.pending.value, pending]
    room.line.value = 0
    room.following = true
    if (room.log.attached) markRead(room, room.newest.value)
    else void loadNewest(room)
    room.changed()
  })
  transmit(pending)
}

function transmit(pending: Pending): void {
  const { room, id, content } = pending
  if (find(room)?.joined.value) connection.send({ type: 'send', room, id, content }, id)
}

/** Sends again what was refused. */
export function retry(id: string): void {
  const found = state.pending.value.find((p) => p.id === id)
  if (!found) return
  const { error: _, ...again } = { ...found, username: state.username.value }
  // An id that is taken by another message never works again.
  if (found.error?.code === 'id_conflict') again.id = randomID()
  update(id, again)
  transmit(again)
}

/** Gives up what was refused. */
export function discard(id: string): void {
  update(id, undefined)
}

function update(id: string, to: Pending | undefined): void {
  const room = find(state.pending.value.find((p) => p.id === id)?.room ?? '')
  state.pending.value = state.pending.value.flatMap((p) => (p.id !== id ? [p] : to ? [to] : []))
  room?.changed()
}

/** A send is done: it is pending no more. */
function settle(room: string, id: string, username: string): Pending | undefined {
  const found = state.pending.value.find((p) => p.id === id && p.room === room && p.username === username)
  if (found) update(id, undefined)
  return found
}

/** Refusals that pass; the send is tried again by itself. */
const passing = new Set(['unavailable', 'storage_full', 'internal', 'rate_limited', 'not_joined'])

function receiveError(event: Refusal): void {
  if (event.code === 'resync' && event.room) {
    // The server had no longer what came next for us: we stay, beyond a gap.
    const room = find(event.room)
    if (!room) return
    batch(() => {
      room.log.clear()
      room.cursor = { epoch: event.epoch ?? room.cursor?.epoch ?? '', seq: event.head ?? 0 }
      room.head = room.newest.value = event.head ?? 0
      room.gapBefore.value = event.oldest ?? 0
      room.changed()
    })
    if (room.name === state.current.value) void loadNewest(room)
    return
  }
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

/** Keeps what is being written in a room. */
export function draft(room: string, text: string): void {
  const { [room]: _, ...others } = state.drafts.value
  state.drafts.value = text === '' ? others : { ...others, [room]: text }
}

// ---- Reading ----

let saving: ReturnType<typeof setTimeout> | undefined

/** The user has seen a room's messages up to a seq. */
export function markRead(room: Room, seq: number): void {
  if (seq <= room.read.value) return
  batch(() => {
    room.read.value = seq
    if (room.unread.value === 0) room.mentioned.value = false
  })
  saving ??= setTimeout(saveReads, 500)
}

function saveReads(): void {
  clearTimeout(saving)
  saving = undefined
  const reads = load('read') ?? {}
  for (const room of state.rooms.value) {
    if (room.cursor) reads[room.name] = { epoch: room.cursor.epoch, seq: room.read.value }
  }
  save('read', reads)
}

/** Goes to a room, and to a message in it. */
export function show(place: route.Place, how: 'push' | 'replace' | 'none' = 'push'): void {
  batch(() => {
    const left = state.room.value
    if (left && left.name !== place.room) left.line.value = 0
    const known = find(place.room) !== undefined
    const room = add(place.room)
    state.current.value = place.room
    state.drawer.value = undefined
    state.dialog.value = undefined
    spoken.value = []
    if (left !== room) {
      state.searching.value = false
      if (room.unread.value > 0 && room.line.value === 0) room.line.value = room.read.value
    }
    if (how !== 'none') route.show(place, how)
    state.target.value = place.seq === undefined ? undefined : { room: place.room, seq: place.seq, visit: ++visits }
    if (state.status.value !== 'open') return
    if (!known || (!room.joined.value && left !== room)) void joinRoom(room)
    else void loadShown(room)
  })
}
let visits = 0

/** Leaves a room for good. */
export function part(room: Room): void {
  connection.send({ type: 'part', room: room.name })
  batch(() => {
    remove(room)
    if (state.rooms.value.length === 0) add('lobby')
    if (state.current.value === room.name) show({ room: state.rooms.value[0]!.name })
  })
}

/** Loads what the room that is shown needs: its members, and the place to be shown. */
async function loadShown(room: Room): Promise<void> {
  if (!room.joined.value) return
  if (!room.members.value) void loadMembers(room)
  const target = state.target.value
  if (target?.room === room.name && !room.log.at(target.seq)) return loadAround(room, target.seq)
  if (room.log.loaded) return
  if (room.unread.value > before && room.read.value > 0) {
    room.following = false
    return loadAround(room, room.read.value)
  }
  return loadNewest(room)
}

async function page(room: Room, where: { before?: number; after?: number }, limit = pageSize): Promise<History | undefined> {
  try {
    return await connection.ask<History>({ type: 'history', room: room.name, limit, ...where })
  } catch (error) {
    if (error instanceof RequestError && error.refusal && error.refusal.code !== 'not_found') state.notice.value = error.refusal
    return undefined
  }
}

/** Loads the newest messages, in the place of what is loaded. */
export async function loadNewest(room: Room): Promise<void> {
  const found = await page(room, {}, 100)
  if (!found) return
  batch(() => {
    if (room.log.attached) room.log.addNewest(found.messages, found.more)
    else {
      room.log.replace(found.messages, found.more, true)
      // What came live meanwhile has not been kept.
      if ((room.log.last ?? 0) < (room.cursor?.seq ?? 0)) {
        room.log.attached = false
        void loadNewer(room)
      }
    }
    room.following = true
    room.changed()
  })
}

/** Loads a message and what is around it. */
async function loadAround(room: Room, seq: number): Promise<void> {
  const after = Math.max(0, seq - before)
  const found = await page(room, { after })
  if (!found) return
  const first = found.messages[0]?.seq
  if (first === undefined || first > seq || found.messages[found.messages.length - 1]!.seq < seq) {
    batch(() => {
      state.notice.value = { code: 'no_message', message: '' }
      state.target.value = undefined
    })
    if (!room.log.loaded) await loadNewest(room)
    return
  }
  batch(() => {
    const last = found.messages[found.messages.length - 1]!.seq
    room.log.replace(found.messages, first === after + 1 && first > 1, !found.more && last >= (room.cursor?.seq ?? 0))
    room.following = false
    room.changed()
  })
}

/** Loads older messages than are there. */
export async function loadOlder(room: Room): Promise<void> {
  const { log } = room
  const first = log.first
  if (room.loadingOlder.value || !log.loaded || !log.moreBefore || first === undefined || !room.joined.value) return
  batch(() => {
    room.loadingOlder.value = true
    room.loadFailed.value = false
  })
  const generation = log.generation
  // Who has scrolled through a thousand is on a journey.
  const found = await page(room, { before: first }, log.messages.length > 1000 ? pageLimit : pageSize)
  batch(() => {
    room.loadingOlder.value = false
    if (!found) room.loadFailed.value = true
    else if (generation === log.generation) log.addOlder(found.messages, found.more)
    room.changed()
  })
}

/** Loads newer messages, after a jump into the past. */
export async function loadNewer(room: Room): Promise<void> {
  const { log } = room
  const last = log.last
  if (room.loadingNewer.value || log.attached || last === undefined || !room.joined.value) return
  room.loadingNewer.value = true
  const generation = log.generation
  const found = await page(room, { after: last })
  batch(() => {
    room.loadingNewer.value = false
    if (found && generation === log.generation) log.addNewer(found.messages, found.more, room.cursor?.seq ?? 0)
    room.changed()
  })
}

/** Goes to the newest message. */
export async function jumpToNewest(room: Room): Promise<void> {
  if (!room.log.attached) await loadNewest(room)
  room.following = true
  room.changed()
}

// ---- Lists of names ----

async function loadMembers(room: Room): Promise<void> {
  const names: string[] = []
  try {
    for (let more = true; more && names.length < mostMembers; ) {
      const last = names[names.length - 1]
      const found = await connection.ask<Members>({ type: 'members', room: room.name, ...(last === undefined ? {} : { after: last }) })
      names.push(...found.usernames)
      more = found.more && found.usernames.length > 0
    }
  } catch {
    return // asked again after the next join, or when the room is shown
  }
  room.members.value = names.sort(byName)
}

/** Loads the list of all rooms. */
export async function loadDirectory(): Promise<void> {
  const all: RoomInfo[] = []
  try {
    for (let more = true; more && all.length < mostRooms; ) {
      const last = all[all.length - 1]
      const found = await connection.ask<Rooms>({ type: 'rooms', ...(last === undefined ? {} : { after: last.room }) })
      all.push(...found.rooms)
      more = found.more && found.rooms.length > 0
    }
  } catch {
    return
  }
  state.directory.value = all
}
