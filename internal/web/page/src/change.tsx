// Changes in a room as quiet lines: who came and went, roles, topics, settings.

import type { Change, Message } from './protocol'
import type { Room } from './state'
import { fullTimeOf, t, untilOf } from './texts'
import type { Texts } from './texts.en'

const members: Record<string, keyof Texts> = {
  joined: 'lineJoined',
  invited: 'lineInvited',
  left: 'lineLeft',
  kicked: 'lineKicked',
  banned: 'lineBanned',
  unbanned: 'lineUnbanned',
  muted: 'lineMuted',
  unmuted: 'lineUnmuted',
}
const roles: Record<string, keyof Texts> = { op: 'lineOp', speaker: 'lineSpeaker', member: 'lineMember' }
const settings: Record<string, keyof Texts> = {
  announce: 'lineAnnounce',
  locked: 'lineLocked',
}

/** The sentence about a change; undefined for one that the page does not know. */
export function sentence({ username: by, change }: Message): string | undefined {
  if (!change) return undefined
  switch (change.type) {
    case 'topic':
      return change.topic === '' ? t('lineNoTopic', { by }) : t('lineTopic', { by, topic: change.topic })
    case 'room':
      return change.change === 'created' ? t('lineCreated', { by }) : set(by, change)
    case 'member': {
      const key = change.change === 'role' ? roles[change.role ?? ''] : members[change.change]
      if (!key) return undefined
      const text = t(key, { by, name: change.subject })
      const until = change.until_ms ? ` ${t('lineUntil', { time: untilOf(change.until_ms) })}` : ''
      return text + until + (change.reason ? `: ${change.reason}` : '')
    }
  }
}

function set(by: string, change: Change & { type: 'room' }): string {
  const said: string[] = []
  if (change.archived !== undefined) said.push(t(change.archived ? 'lineArchived' : 'lineUnarchived', { by }))
  if (change.kind === 'private') said.push(t('linePrivate', { by }))
  if (change.history !== undefined) said.push(t(change.history === 'joined' ? 'lineHistoryJoined' : 'lineHistoryAll', { by }))
  if (change.flags) {
    const keys = change.flags.flatMap((f) => settings[f] ?? [])
    said.push(keys.length === 0 ? t('lineFree', { by }) : keys.map((k) => t(k, { by })).join(' '))
  }
  return said.join(' ')
}

/** The line of a change. */
export function ChangeLine({ room, message }: { room: Room; message: Message }) {
  // People begin a conversation, and think of no room; the text above it says where it begins.
  if (room.kind.value === 'direct' && message.change?.type === 'room' && message.change.change === 'created') return null
  return (
    <p class="change" title={fullTimeOf(message.time)}>
      {sentence(message)}
    </p>
  )
}
