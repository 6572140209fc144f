// Lists of names: the members of a room, and the rooms of the server.

import { batch } from '@preact/signals'
import type { Member, Members, Presence, RoomInfo, Rooms } from './protocol'
import { ask } from './session'
import * as state from './state'
import { find, type Room } from './state'

/** The most names that are loaded; beyond them only the count is shown. */
const mostMembers = 2000
const mostRooms = 5000
/** How old the list of a large room's members may be. Milliseconds. */
const membersWait = 30_000

/** Up to this many members, a change of their number means that one came or went for good. */
const fewMembers = 100
/** How long to wait for further changes of the members before asking again. Milliseconds. */
const changeWait = 300

const { compare } = new Intl.Collator()
const byName = (a: Member, b: Member) => compare(a.username, b.username)

const visitor = (username: string): Member => ({ username, role: 'member', online: true, bot: false })

let askAgain: ReturnType<typeof setTimeout> | undefined

/** Asks for the members of the room on the screen after a while. */
export function loadMembersAgain(wait = changeWait): void {
  if (askAgain !== undefined && wait === membersWait) return
  clearTimeout(askAgain)
  askAgain = setTimeout(() => {
    askAgain = undefined
    if (state.room.value) void loadMembers(state.room.value)
  }, wait)
}

/** In how many direct rooms it is known who is here, without showing them. */
const mostDirect = 30

/** Asks for the members of a room that is not on the screen, if the list of rooms shows who is here. */
export function loadWhoIsHere(room: Room): void {
  const direct = state.rooms.peek().filter((r) => r.kind.peek() === 'direct')
  if (direct.slice(0, mostDirect).includes(room)) void loadMembers(room)
}

/** The members are others now: asks for them after a while, or when the room is shown. */
function outdated(room: Room, wait = changeWait): void {
  if (room.here.peek()) return loadMembersAgain(wait)
  room.membersOld = true
  loadWhoIsHere(room)
}

export function receivePresence(event: Presence): void {
  const room = find(event.room)
  if (!room) return
  batch(() => {
    room.memberCount.value = event.members
    const members = room.members.value
    if (!members) return
    // In a large room presence has only the count. Ask for the names, but not at once.
    if (!event.joined && !event.left) return outdated(room, event.members > fewMembers ? membersWait : changeWait)
    const now = new Map(members.map((m) => [m.username, m]))
    for (const name of event.left ?? []) {
      const member = now.get(name)
      // The membership of an account outlasts its connections, and it may have others.
      if (member?.account) outdated(room)
      else now.delete(name)
    }
    for (const name of event.joined ?? []) {
      const member = now.get(name)
      now.set(name, member ? { ...member, online: true } : visitor(name))
      if (!member && state.account.value) outdated(room)
    }
    room.members.value = [...now.values()].sort(byName)
  })
}

export async function loadMembers(room: Room): Promise<void> {
  const all: Member[] = []
  try {
    for (let more = true; more && all.length < mostMembers; ) {
      const last = all[all.length - 1]?.username
      const found = await ask<Members>({ type: 'members', room: room.name, ...(last === undefined ? {} : { after: last }) })
      all.push(...(found.members ?? found.usernames.map(visitor)))
      more = found.more && found.usernames.length > 0
    }
  } catch {
    return // asked again after the next join, or when the room is shown
  }
  room.membersOld = false
  room.members.value = all.sort(byName)
}

/** Loads the list of all rooms. */
export async function loadDirectory(): Promise<void> {
  const all: RoomInfo[] = []
  try {
    for (let more = true; more && all.length < mostRooms; ) {
      const last = all[all.length - 1]
      const found = await ask<Rooms>({ type: 'rooms', ...(last === undefined ? {} : { after: last.room }) })
      all.push(...found.rooms)
      more = found.more && found.rooms.length > 0
    }
  } catch {
    return
  }
  state.directory.value = all
}
