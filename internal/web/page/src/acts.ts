// Requests of the user that become entries of a room's log other than messages:
// invitations, roles, topics, settings.

import { messageID } from './id'
import type { Act, Change } from './protocol'
import { ask } from './session'
import type { Room } from './state'

/** What those that have no answer yet change, by their ids. */
const waiting = new Map<string, Change>()

/** Does something in a room. It throws the refusal of the server. */
export async function act(room: Room, what: Act): Promise<void> {
  const id = messageID()
  waiting.set(id, changeOf(what))
  try {
    await ask({ ...what, room: room.name, id })
  } finally {
    waiting.delete(id)
  }
}

/** The change that an ack is about: the server sends it to everybody else. */
export const changeOfAck = (id: string): Change | undefined => waiting.get(id)

const pastTense: Record<string, string> = { invite: 'invited', kick: 'kicked', ban: 'banned', unban: 'unbanned', mute: 'muted', unmute: 'unmuted', role: 'role' }

function changeOf(what: Act): Change {
  switch (what.type) {
    case 'topic':
      return what
    case 'set': {
      const { type: _, ...changed } = what
      return { type: 'room', change: 'set', ...changed }
    }
    default: {
      const { type, username, ...more } = what
      return { type: 'member', change: pastTense[type]!, subject: username, ...more }
    }
  }
}
