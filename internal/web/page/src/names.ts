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

/** In how many conversations of two it is known who is here, without showing them. */
const mostPairs = 30

/** The list of rooms shows who is here for a conversation of two: several people have no username in common. */
const isPair = (room: Room) => room.kind.peek() === 'direct' && !room.title.peek().includes(',')

const waiting = new Set<Room>()

/** Asks after a while for the members of a room that is not on the screen, if the list of rooms shows who is here. */
export function loadWhoIsHere(room: Room): void {
  if (!isPair(room)) return
  if (waiting.size === 0) setTimeout(askWhoIsHere, changeWait)
  waiting.add(room)
}

/** One after the other: a server that starts again has all clients ask at once. */
async function askWhoIsHere(): Promise<void> {
  const rooms = state.rooms.peek().filter(isPair).slice(0, mostPairs).filter((room) => waiting.has(room))
  waiting.clear()
  for (const room of rooms) await loadMembers(room)
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
    if (!members) return loadWhoIsHere(room)
    // In a large room presence has only the count. Ask for the names, but not at once.
    if (!event.joined && !event.left) return outdated(room, event.members > fewMembers ? membersWait : changeWait)
    const now = new Map(members.map((m) => [m.username, m]))
    let unsure = false
    for (const name of event.left ?? []) {
      // The membership of an account outlasts its connections, and it may have others.
      if (now.get(name)?.account) unsure = true
      else now.delete(name)
    }
    for (const name of event.joined ?? []) {
      const member = now.get(name)
      now.set(name, member ? { ...member, online: true } : visitor(name))
      if (!member && state.account.value) unsure = true
    }
    room.members.value = [...now.values()].sort(byName)
    if (unsure) outdated(room)
  })
}

export async function loadMembers(room: Room): Promise<void> {
  const all: Member[] = []
  room.membersOld = false // a change that comes meanwhile sets it again
  try {
    for (let more = true; more && all.length < mostMembers; ) {
      const last = all[all.length - 1]?.username
      const found = await ask<Members>({ type: 'members', room: room.name, ...(last === undefined ? {} : { after: last }) })
      all.push(...(found.members ?? found.usernames.map(visitor)))
      more = found.more && found.usernames.length > 0
    }
  } catch {
    room.membersOld = true // asked again after the next join, or when the room is shown
    return
  }
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
