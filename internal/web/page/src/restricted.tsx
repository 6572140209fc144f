// Who is banned from a room or muted in it, for those that may change that.

import { act } from './acts'
import { path } from './api'
import { Doing, Item, useLoaded, type Loaded } from './listing'
import type { Room } from './state'
import { dayIn, t } from './texts'

interface Restricted {
  username: string
  banned: boolean
  muted: boolean
  until?: string
  since: string
  reason?: string
}

export const useRestricted = (room: Room): Loaded<{ restricted: Restricted[]; more: boolean }> => useLoaded(`v1/rooms/${path(room.name)}/restricted`)

/** The bans of a room and what ends them. */
export function Bans({ room }: { room: Room }) {
  const loaded = useRestricted(room)
  const bans = loaded.value.value?.restricted.filter((r) => r.banned) ?? []
  if (bans.length === 0) return null
  return (
    <section class="fields" aria-labelledby="bans">
      <h3 id="bans">{t('bans')}</h3>
      <ul class="items">
        {bans.map((ban) => (
          <Item
            key={ban.username}
            title={ban.username}
            text={[t('since', { time: dayIn(ban.since) }), ban.until && t('bannedUntil', { time: dayIn(ban.until) }), ban.reason].filter(Boolean).join(' · ')}
          >
            <Doing label={t('unban')} does={() => act(room, { type: 'unban', username: ban.username })} done={loaded.reload} />
          </Item>
        ))}
      </ul>
      {loaded.value.value?.more && <p class="quiet">{t('moreBans')}</p>}
    </section>
  )
}
