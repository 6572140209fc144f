// Loading pages of a room's log: what is shown first, and what the reader comes to.

import { batch } from '@preact/signals'
import { RequestError } from './connection'
import { loadMembers } from './names'
import { pageLimit, type History } from './protocol'
import { ask } from './session'
import * as state from './state'
import { noLine, type Room } from './state'

/** How many messages a page of history has; what is asked for when scrolling. */
const pageSize = 200
/** How many messages are loaded before one that is gone to. */
const before = 60

/** Loads what the room that is shown needs: its members, and the place to be shown. */
export async function loadShown(room: Room): Promise<void> {
  if (!room.joined.value) return
  if (!room.members.value) void loadMembers(room)
  const target = state.target.value
  if (target?.room === room.name && !room.log.at(target.seq)) return loadMessage(room, target.seq)
  if (room.log.loaded) return
  // The place where the reader was before a reload.
  if (!room.following && room.anchor) return void loadAround(room, room.anchor.seq)
  if (room.unread.value > before) {
    room.following = false
    return void loadAround(room, room.read.value)
  }
  return loadNewest(room)
}

async function page(room: Room, where: { before?: number; after?: number }, limit = pageSize): Promise<History | undefined> {
  try {
    return await ask<History>({ type: 'history', room: room.name, limit, ...where })
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
    else room.log.replace(found.messages, found.more, true)
    // What came live meanwhile may not have been kept.
    if (!room.log.attached || (room.log.last ?? 0) < (room.cursor?.seq ?? 0)) {
      room.log.attached = false
      void loadNewer(room)
    }
    room.following = true
    room.changed()
  })
}

/** Loads a message that is to be shown, and what is around it. */
async function loadMessage(room: Room, seq: number): Promise<void> {
  if (await loadAround(room, seq, true)) return
  batch(() => {
    state.notice.value = { code: 'no_message', message: '' }
    state.target.value = undefined
  })
  if (!room.log.loaded) await loadNewest(room)
}

/** Loads what is around a place. False, and nothing is changed, if the message there is wanted and not kept. */
async function loadAround(room: Room, seq: number, wanted = false): Promise<boolean> {
  const after = Math.max(0, seq - before)
  const found = await page(room, { after })
  if (!found) return !wanted
  const { messages } = found
  const first = messages[0]?.seq
  const last = messages[messages.length - 1]?.seq
  if (wanted && !messages.some((m) => m.seq === seq)) return false
  if (first === undefined || last === undefined) {
    await loadNewest(room)
    return true
  }
  batch(() => {
    room.log.replace(messages, first === after + 1 && first > 1, !found.more && last >= (room.cursor?.seq ?? 0))
    room.following = false
    room.changed()
  })
  return true
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
    // Messages may have been dropped there meanwhile.
    else if (generation === log.generation && log.first === first) log.addOlder(found.messages, found.more)
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
  if (!room.log.attached) {
    // Or the list would begin at it.
    room.line.value = noLine
    await loadNewest(room)
  }
  room.following = true
  room.changed()
}
