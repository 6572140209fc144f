// Who is typing in each room, and reports that the user is.

import type { Refusal, Typing } from './protocol'
import { send } from './session'
import * as state from './state'
import { find, type Room } from './state'

/** How often the page reports that the user goes on typing. The server forgets it after twice that time. Milliseconds. */
const reportEvery = 3000

/** The ref of reports. They have no answer but an error. */
export const typingRef = 'typing'

/** When the user was reported in each room since the last message. */
const reported = new Map<Room, number>()
/** The server does not know reports: it is older than the page. */
let unknown = false

/** Reports that the user is typing a message, unless the user does not want it. Call it for each change of the text. */
export function reportTyping(room: Room, text: string): void {
  if (!state.showTyping.value || unknown || !room.joined.value || !room.member.value || text.trim() === '') return
  const now = performance.now()
  if (now - (reported.get(room) ?? -Infinity) < reportEvery) return
  if (send({ type: 'typing', room: room.name }, typingRef)) reported.set(room, now)
}

/** A message ends the typing of its author. */
export function stopTyping(room: Room): void {
  reported.delete(room)
}

/** A report was refused: where one may not write, nobody has to be told. */
export function refuseTyping(event: Refusal): void {
  if (event.code === 'unknown_type') unknown = true
}

export function receiveTyping(event: Typing): void {
  const room = find(event.room)
  if (room) room.typing.value = event.usernames
}

/** Forgets who was typing: the connection was lost. */
export function forgetTyping(): void {
  unknown = false
  reported.clear()
  for (const room of state.rooms.value) room.typing.value = nobody
}

const nobody: string[] = []
