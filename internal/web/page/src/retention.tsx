// How long messages are kept. Only owners choose it, and are told first what goes.

import { useSignal } from '@preact/signals'
import { a, deletesText } from './admintexts'
import { Age, retentions } from './age'
import { call, mostListed, path } from './api'
import { Failure, useSending } from './form'
import { Confirm, useLoaded, Waiting } from './listing'
import type { Room } from './state'
import { t } from './texts'

/** How many messages a retention would delete, in one room or in all that have none of their own; undefined for none. */
export async function deletedBy(retention: string, room?: string): Promise<number | undefined> {
  const old = await call<{ messages: number }>('GET', `v1/admin/retention?value=${encodeURIComponent(retention)}${room === undefined ? '' : `&room=${encodeURIComponent(room)}`}`)
  return old.messages || undefined
}

/** The retention of the server. */
async function ofServer(): Promise<string> {
  const { settings } = await call<{ settings: { key: string; value: string; default: string }[] }>('GET', 'v1/admin/settings')
  const found = settings.find(({ key }) => key === 'retention')
  return found?.value || found?.default || 'forever'
}

/** The retention of a room; empty for that of the server. */
async function ofRoom(name: string): Promise<{ value: string }> {
  for (let after = ''; ; ) {
    const { rooms, more } = await call<{ rooms: { room: string; retention?: string }[]; more: boolean }>('GET', `v1/admin/rooms?limit=${mostListed}&after=${encodeURIComponent(after)}`)
    const found = rooms.find(({ room }) => room === name)
    if (found || !more) return { value: found?.retention ?? '' }
    after = rooms[rooms.length - 1]!.room
  }
}

export function Retention({ room }: { room: Room }) {
  const loaded = useLoaded(room.name, ofRoom)
  const found = loaded.value.value
  return found ? <Choice room={room} kept={found.value} /> : <Waiting of={loaded} />
}

function Choice({ room, kept }: { room: Room; kept: string }) {
  const value = useSignal(kept)
  const saved = useSignal(kept)
  // How many messages the value would delete, once the owner was told; a second press does it.
  const deletes = useSignal<number | undefined>(undefined)
  const sending = useSending(async () => {
    const wanted = value.peek().trim()
    if (deletes.peek() === undefined) {
      deletes.value = await deletedBy(wanted || (await ofServer()), room.name)
      if (deletes.peek() !== undefined) return
    }
    await call('PUT', `v1/admin/rooms/${path(room.name)}/retention`, { value: wanted })
    deletes.value = undefined
    saved.value = value.value = wanted
  })
  return (
    <form class="beside" onSubmit={sending.submit}>
      <div class="field">
        <label for="retention">{a('roomRetention')}</label>
        <Age
          id="retention"
          value={value.value}
          usual={{ '': a('roomRetentionServer'), ...retentions() }}
          write={(age) => {
            value.value = age
            deletes.value = undefined
          }}
        />
      </div>
      <button type="submit" class="secondary" disabled={value.value.trim() === saved.value || sending.busy.value}>
        {deletes.value === undefined ? t('save') : a('retentionDelete')}
      </button>
      {deletes.value !== undefined && <p role="alert">{deletesText(deletes.value)}</p>}
      <p class="quiet help" id="retention-help">
        {a('roomRetentionHelp')}
      </p>
      <Confirm sending={sending} />
      <Failure sending={sending} />
    </form>
  )
}
