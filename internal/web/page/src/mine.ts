// The rooms of an account, as the server knows them: at the beginning all of them, and
// then whatever changes, on whichever device.

import { batch } from '@preact/signals'
import { loadMembersAgain } from './names'
import type { Me, Mine, Notifications, Parted, State } from './protocol'
import { notifications } from './quiet'
import { mentionedIn } from './reading'
import { ask } from './session'
import { drop, enterRoom, goElsewhere } from './rooms'
import * as state from './state'
import { add, find, Room } from './state'

/** Loads the rooms of the account. False if the connection was lost meanwhile. */
export async function loadMine(): Promise<boolean> {
  const all: Mine[] = []
  try {
    for (let more = true; more; ) {
      const last = all[all.length - 1]?.room
      const found = await ask<Me>({ type: 'me', ...(last === undefined ? {} : { after: last }) })
      all.push(...found.rooms)
      more = found.more && found.rooms.length > 0
      if (found.account) state.account.value = found.account
      if (last === undefined) takeNotifications(found)
    }
  } catch {
    return false
  }
  batch(() => {
    const names = new Set(all.map((r) => r.room))
    const shown = state.room.value
    for (const room of state.rooms.value) {
      if (names.has(room.name)) continue
      // The address may name a room that one can read from outside.
      if (room !== shown) drop(room)
      else {
        room.member.value = false
        room.doubt.value ??= 'asking'
      }
    }
    const known = new Map(state.rooms.value.map((r) => [r.name, r]))
    const added = all.filter((r) => !known.has(r.room)).map((r) => new Room(r.room))
    if (added.length > 0) state.rooms.value = [...state.rooms.value, ...added]
    for (const mine of all) adopt(find(mine.room)!, mine)
    // Nobody asked for the lobby, if the account is not in it.
    if (shown && !shown.member.value && shown.name === 'lobby' && all.length > 0 && !state.asked.value) goElsewhere(shown)
  })
  return true
}

/** Takes what the server knows of a room. */
function adopt(room: Room, mine: Mine): void {
  room.member.value = true
  room.doubt.value = undefined
  room.kind.value = mine.kind
  room.title.value = mine.title || mine.room
  room.topic.value = mine.topic
  room.role.value = mine.role
  room.flags.value = mine.flags
  room.history.value = mine.history
  room.notify.value = mine.notify
  if (mine.head > room.newest.value) room.newest.value = mine.head
  room.told = Math.max(room.told, mine.read)
  // What was read here may not have reached the server yet.
  if (mine.read < room.read.value) return
  room.read.value = mine.read
  room.uncounted.value = Math.max(0, mine.head - mine.read - mine.unread)
  room.mentions.value = mine.mentions
  room.unreadFrom.value = mine.unread_from
}

function takeNotifications({ keywords, quiet, level }: Notifications): void {
  notifications.value = { ...(keywords && { keywords }), ...(quiet && { quiet }), ...(level && { level }) }
}

/** The account wants to be notified of something else. The level concerns its rooms. */
export function receiveNotifications(event: Notifications): void {
  const before = notifications.peek().level
  takeNotifications(event)
  if (before !== event.level) void loadMine()
}

/** Something of a room has changed for the account. */
export function receiveState(event: State): void {
  if (event.gone) {
    const room = find(event.room)
    if (room?.member.value) leaveBehind(room)
    return
  }
  const known = find(event.room)
  const room = known ?? add(event.room)
  const before = room.member.value && known !== undefined
  // The server may not know yet what has been read here.
  const mentioned = before && event.mentions > (event.read < room.read.peek() ? 0 : room.mentions.peek())
  adopt(room, event)
  if (mentioned) mentionedIn(room, event.head)
  if (!before || !room.joined.value) enterRoom(room)
  if (room.here.value) loadMembersAgain()
}

/** The server has ended a subscription by itself. */
export function receiveParted(event: Parted): void {
  if (event.reason === undefined) return
  const room = find(event.room)
  if (room) leaveBehind(room)
  // The state of the account may have taken the room away before.
  state.notice.value = { code: event.reason === 'banned' ? 'banned' : 'kicked', message: room?.title.value ?? event.room }
}

function leaveBehind(room: Room): void {
  batch(() => {
    const here = room.here.value
    drop(room)
    if (here) goElsewhere(room)
  })
}
