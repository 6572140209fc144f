// The sign of a room's kind, before its name: for a direct room the face of the other.

import { Avatar } from './nick'
import { byName, type Room } from './state'
import { Lock } from './symbols'
import { t } from './texts'

/** Where a message is, by the name of its room: what people write to each other has no sign. */
export function Where({ name }: { name: string }) {
  return (
    <span class="quiet">
      {name[0] !== '@' && '# '}
      <bdi>{byName.value.get(name)?.title.value ?? name}</bdi>
    </span>
  )
}

/** The kind of a room, before its name. */
export function Sign({ room }: { room: Room }) {
  const kind = room.kind.value
  if (kind === 'direct') {
    // Several people have no username in common.
    const here = room.members.value?.find((m) => m.username === room.title.value)?.online
    return (
      <>
        <Avatar username={room.title.value} small here={here} />
        {here && <span class="hidden">{t('onlineNow')}</span>}
      </>
    )
  }
  if (kind === 'public') {
    return (
      <span class="hash" aria-hidden="true">
        #
      </span>
    )
  }
  return (
    <span class="hash">
      <Lock />
      <span class="hidden">{t('privateRoom')}</span>
    </span>
  )
}
