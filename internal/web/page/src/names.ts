// Lists of names: the members of a room, and the rooms of the server.

import { batch } from '@preact/signals'
import type { Members, Presence, RoomInfo, Rooms } from './protocol'
import { ask } from './session'
import * as state from './state'
import { find, type Room } from './state'

/** The most names that are loaded; beyond them only the count is shown. */
const mostMembers = 2000
const mostRooms = 5000
/** How old the list of a large room's members may be. Milliseconds. */
const membersWait = 30_000

const { compare } = new Intl.Collator()

let askAgain: ReturnType<typeof setTimeout> | undefined

export function receivePresence(event: Presence): void {
  const room = find(event.room)
  if (!room) return
  batch(() => {
    room.memberCount.value = event.members
    const names = room.members.value
    if (!names) return
    if (!event.joined && !event.left) {
      // In a large room presence has only the count. Ask for the names, but not at once.
      askAgain ??= setTimeout(() => {
        askAgain = undefined
        if (state.room.value) void loadMembers(state.room.value)
      }, membersWait)
      return
    }
    const now = new Set(names)
    for (const name of event.left ?? []) now.delete(name)
    for (const name of event.joined ?? []) now.add(name)
    room.members.value = [...now].sort(compare)
  })
}

export async function loadMembers(room: Room): Promise<void> {
  const names: string[] = []
  try {
    for (let more = true; more && names.length < mostMembers; ) {
      const last = names[names.length - 1]
      const found = await ask<Members>({ type: 'members', room: room.name, ...(last === undefined ? {} : { after: last }) })
      names.push(...found.usernames)
      more = found.more && found.usernames.length > 0
    }
  } catch {
    return // asked again after the next join, or when the room is shown
  }
  room.members.value = names.sort(compare)
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
