// All rooms of the server, and the incoming webhooks. Admins see names, not what is said.

import { useSignal } from '@preact/signals'
import { a } from './admintexts'
import { call, mostListed, path } from './api'
import { Failure, Field, Submit, useSending } from './form'
import { LinkToCopy } from './link'
import { Confirm, Doing, Item, useLoaded, Waiting } from './listing'
import type { Flag, RoomKind } from './protocol'
import { base } from './route'
import { count, dayIn, t } from './texts'

interface KnownRoom {
  room: string
  kind: RoomKind
  flags: Flag[]
  members: number
  created?: string
}

export function Rooms() {
  const after = useSignal('')
  const loaded = useLoaded<{ rooms: KnownRoom[]; more: boolean }>(`v1/admin/rooms?limit=${mostListed}${after.value === '' ? '' : `&after=${encodeURIComponent(after.value)}`}`)
  const found = loaded.value.value
  return (
    <>
      <p class="quiet">{a('allRoomsText')}</p>
      <Waiting of={loaded} />
      <ul class="items">
        {found?.rooms.map((room) => (
          <OneRoom key={room.room} room={room} />
        ))}
      </ul>
      {(after.value !== '' || found?.more) && (
        <p class="choices">
          {after.value !== '' && (
            <button type="button" class="secondary" onClick={() => (after.value = '')}>
              {a('fromBeginning')}
            </button>
          )}
          {found?.more && (
            <button type="button" class="secondary" onClick={() => (after.value = found.rooms[found.rooms.length - 1]!.room)}>
              {a('nextPage')}
            </button>
          )}
        </p>
      )}
    </>
  )
}

function OneRoom({ room }: { room: KnownRoom }) {
  const open = useSignal(false)
  const name = useSignal('')
  const done = useSignal('')
  const sending = useSending(async () => {
    const username = name.peek().trim()
    await call('PUT', `v1/admin/rooms/${path(room.room)}/op`, { username })
    done.value = username
    name.value = ''
  })
  const facts = [room.kind === 'private' && t('privateRoom'), count('members', room.members), room.created && t('since', { time: dayIn(room.created) }), room.flags.includes('archived') && t('archived')]
  return (
    <Item title={`#${room.room}`} text={facts.filter(Boolean).join(' · ')}>
      <button type="button" class="secondary" aria-expanded={open.value} onClick={() => (open.value = !open.value)}>
        {a('appoint')}
      </button>
      {open.value && (
        <form class="fields beside appoint" onSubmit={sending.submit}>
          <Field name={`op-${room.room}`} label={a('appointWhom')} value={name} sending={sending} required autofocus autocomplete="off" />
          <button type="submit" class="secondary" disabled={sending.busy.value}>
            {a('appoint')}
          </button>
          <Confirm sending={sending} />
          <Failure sending={sending} />
          {done.value && (
            <p class="quiet" role="status">
              {a('appointed', { name: done.value })}
            </p>
          )}
        </form>
      )}
    </Item>
  )
}

interface Hook {
  id: string
  room: string
  username: string
  /** Whoever made it is suspended. Older servers do not say. */
  paused?: boolean
  created: string
}

export function Hooks() {
  const loaded = useLoaded<{ hooks: Hook[] }>('v1/admin/hooks')
  const room = useSignal('')
  const name = useSignal('')
  const made = useSignal<string | undefined>(undefined)
  const sending = useSending(async () => {
    const username = name.peek().trim()
    const { path: at } = await call<{ path: string }>('POST', 'v1/admin/hooks', { room: room.peek().trim().replace(/^#/, ''), ...(username === '' ? {} : { username }) })
    made.value = location.origin + base + at.replace(/^\//, '')
    room.value = ''
    await loaded.reload()
  })
  return (
    <>
      <p class="quiet">{a('hooksText')}</p>
      <Waiting of={loaded} empty={a('noHooks')} />
      <ul class="items">
        {loaded.value.value?.hooks.map((hook) => (
          <Item key={hook.id} title={hook.username} badge={hook.paused ? a('hookPaused') : undefined} text={`#${hook.room} · ${t('since', { time: dayIn(hook.created) })}`}>
            <Doing label={t('remove')} harsh does={() => call('DELETE', `v1/admin/hooks/${path(hook.id)}`)} done={loaded.reload} />
          </Item>
        ))}
      </ul>
      {made.value && <LinkToCopy link={made.value} label={a('hookOnce')} />}
      <form class="fields" onSubmit={sending.submit}>
        <h3>{a('newHook')}</h3>
        <Field name="room" label={a('hookRoom')} value={room} sending={sending} required autocomplete="off" />
        <Field name="username" label={a('hookName')} value={name} sending={sending} autocomplete="off" placeholder="webhook" />
        <Confirm sending={sending} />
        <Failure sending={sending} fields={['room', 'username']} />
        <Submit sending={sending}>{a('makeHook')}</Submit>
      </form>
    </>
  )
}
