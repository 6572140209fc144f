// Loads pages of a room's log: the first one, and those that the user scrolls to.

import { batch } from '@preact/signals'
import { RequestError } from './connection'
import { loadMembers } from './names'
import type { Page } from './log'
import { pageLimit, shown, type History } from './protocol'
import { ask } from './session'
import * as state from './state'
import { noLine, type Room, type Thread } from './state'

/** How many entries are asked for when scrolling. */
const pageSize = 200
/** How many messages of a thread are asked for. */
const threadSize = 100
/** How many entries are loaded before the target of a jump. */
const before = 60

/** Loads what the room on the screen needs: its members, and the messages at its place. */
export async function loadShown(room: Room): Promise<void> {
  if (!room.joined.value) return
  if (!room.members.value || room.membersOld) void loadMembers(room)
  const thread = room.thread.value
  if (thread && (!thread.log.loaded || thread.log.stale)) void loadThread(thread)
  const target = state.target.value
  if (target?.room === room.name && !room.log.at(target.seq)) return loadMessage(room, target.seq)
  if (room.log.loaded && !room.log.stale) return
  // The position before a reload.
  if (!room.following && room.anchor) return void loadAround(room, room.anchor.seq)
  const from = room.unreadFrom.value
  if (from !== undefined && room.newest.value - from > before) {
    room.following = false
    return void loadAround(room, from)
  }
  if (room.unread.value > before) {
    room.following = false
    return void loadAround(room, room.read.value)
  }
  return loadNewest(room)
}

interface Where {
  before?: number
  after?: number
  /** Only those that answer this one. */
  replies_to?: number
}

/** Asks for a page for a log of the room, and throws if there is none. */
function askFor(room: Room, where: Where, limit: number, log = room.log): Promise<Page> {
  // The server's log has everything up to here: a page without more to come reaches it.
  const cursor = room.cursor?.seq ?? 0
  return log.load(state.username.value, async () => {
    const found = await ask<History>({ type: 'history', room: room.name, limit, ...where })
    const entries = found.messages
    const last = found.last ?? entries[entries.length - 1]?.seq
    const first = found.first ?? entries[0]?.seq
    // A page may have changes only, and so no elements.
    const more = found.more && last !== undefined
    const end = where.before !== undefined ? where.before - 1 : more && where.after !== undefined ? last : Math.max(last ?? where.after ?? 0, cursor)
    return { messages: entries.flatMap((e) => shown(e, found.as_of) ?? []), start: first ?? end + 1, end, more }
  })
}

async function page(room: Room, where: Where, limit = pageSize, log = room.log): Promise<Page | undefined> {
  try {
    return await askFor(room, where, limit, log)
  } catch (error) {
    if (error instanceof RequestError && error.refusal && error.refusal.code !== 'not_found') state.notice.value = error.refusal
    return undefined
  }
}

/** Rooms that a quoted message is being loaded for. */
const quoting = new WeakSet<Room>()

/** Loads a message that a reply quotes, one at a time for each room. */
export async function loadQuoted(room: Room, seq: number): Promise<void> {
  if (quoting.has(room) || !room.joined.value) return
  quoting.add(room)
  try {
    const found = await askFor(room, { after: seq - 1 }, 1)
    room.log.keepQuoted(seq, found.messages.find((m) => m.seq === seq))
    room.changed()
  } catch {
    // Asked for again when the list is rendered.
  } finally {
    quoting.delete(room)
  }
}

/** Loads the newest messages of a thread. */
export async function loadThread(thread: Thread): Promise<void> {
  const { room, seq, log } = thread
  if (thread.loading.value || !room.joined.value) return
  thread.loading.value = true
  // Live ones follow the page that is on its way.
  log.attached = true
  const found = await page(room, { replies_to: seq }, threadSize, log)
  batch(() => {
    thread.loading.value = false
    thread.failed.value = found === undefined
    if (found && log.attached) log.addNewest(found)
    room.changed()
  })
}

/** Loads the messages of a thread before those that are loaded. */
export async function loadOlderOf(thread: Thread): Promise<void> {
  const { room, seq, log } = thread
  const { generation, start } = log
  if (thread.loading.value || !log.moreBefore || !room.joined.value) return
  thread.loading.value = true
  const found = await page(room, { replies_to: seq, before: start }, threadSize, log)
  batch(() => {
    thread.loading.value = false
    thread.failed.value = found === undefined
    if (found && generation === log.generation) log.addOlder(found)
    room.changed()
  })
}

/** Loads the newest messages and replaces the run with them. */
export async function loadNewest(room: Room): Promise<void> {
  const found = await page(room, {}, 100)
  if (!found) return
  batch(() => {
    if (room.log.attached) room.log.addNewest(found)
    else room.log.replace(found, found.more, true)
    // Live messages that came meanwhile may not have been kept.
    if (!room.log.attached || room.log.end < (room.cursor?.seq ?? 0)) {
      room.log.attached = false
      void loadNewer(room)
    }
    room.following = true
    room.changed()
  })
}

/** Loads a message and its surroundings, to show it. */
async function loadMessage(room: Room, seq: number): Promise<void> {
  if (await loadAround(room, seq, true)) return
  batch(() => {
    state.notice.value = { code: 'no_message', message: '' }
    state.target.value = undefined
  })
  if (!room.log.loaded) await loadNewest(room)
}

/** Loads the surroundings of a seq. If the message is wanted but not there, changes nothing and returns false. */
async function loadAround(room: Room, seq: number, wanted = false): Promise<boolean> {
  const after = Math.max(0, seq - before)
  const found = await page(room, { after })
  if (!found) return !wanted
  if (wanted && !found.messages.some((m) => m.seq === seq)) return false
  if (found.start > found.end) {
    await loadNewest(room)
    return true
  }
  batch(() => {
    room.log.replace(found, after > 0, !found.more && found.end >= (room.cursor?.seq ?? 0))
    room.following = false
    room.changed()
  })
  return true
}

/** Loads the messages before the run. */
export async function loadOlder(room: Room): Promise<void> {
  const { log } = room
  const { generation, start } = log
  if (room.loadingOlder.value || !log.loaded || !log.moreBefore || !room.joined.value) return
  batch(() => {
    room.loadingOlder.value = true
    room.loadFailed.value = false
  })
  // After a thousand messages the user is on a long way up.
  const found = await page(room, { before: start }, log.messages.length > 1000 ? pageLimit : pageSize)
  batch(() => {
    room.loadingOlder.value = false
    if (!found) room.loadFailed.value = true
    // Messages may have been trimmed there meanwhile.
    else if (generation === log.generation && log.start === start) log.addOlder(found)
    room.changed()
  })
}

/** Loads the messages after the run, following a jump into the past. */
export async function loadNewer(room: Room): Promise<void> {
  const { log } = room
  if (room.loadingNewer.value || log.attached || !room.joined.value) return
  room.loadingNewer.value = true
  const { generation } = log
  const found = await page(room, { after: log.end })
  batch(() => {
    room.loadingNewer.value = false
    if (found && generation === log.generation) log.addNewer(found, room.cursor?.seq ?? 0)
    room.changed()
  })
}

/** Goes to the newest message. */
export async function jumpToNewest(room: Room): Promise<void> {
  if (!room.log.attached) {
    // Otherwise the list would begin at the line.
    room.line.value = noLine
    await loadNewest(room)
  }
  room.following = true
  room.changed()
}
