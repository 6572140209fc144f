// Links by which new people make an account.

import { useSignal } from '@preact/signals'
import { call, path } from './api'
import { Failure, Submit, useSending } from './form'
import { LinkToCopy } from './link'
import { Confirm, Doing, Item, useLoaded, Waiting } from './listing'
import { mostRooms, RoomPicker } from './picker'
import { atLeast, may } from './rights'
import { account, factsOf } from './state'
import { ageOf, count, dayIn, t } from './texts'

interface Invite {
  id: string
  kind: 'invite' | 'sign_in'
  role?: 'guest' | 'member'
  rooms?: string[]
  uses: number
  by?: string
  username?: string
  expires: string
}

export function Invites() {
  const all = atLeast(account.value, 'admin')
  const loaded = useLoaded<{ invites: Invite[] }>(all ? 'v1/admin/invites' : 'v1/invites')
  const made = useSignal<string | undefined>(undefined)
  const title = (invite: Invite) => (invite.kind === 'sign_in' ? t('linkFor', { name: invite.username ?? '' }) : count(invite.role === 'guest' ? 'inviteGuests' : 'inviteMembers', invite.uses))
  return (
    <>
      <p class="quiet">{t('invitesText')}</p>
      {made.value && <LinkToCopy link={made.value} label={t('inviteLink')} />}
      <NewInvite
        done={async (link) => {
          made.value = link
          await loaded.reload()
        }}
      />
      <Waiting of={loaded} empty={t('noInvites')} />
      <ul class="items">
        {loaded.value.value?.invites.map((invite) => (
          <Item key={invite.id} title={title(invite)} text={[invite.by && t('madeBy', { name: invite.by }), t('until', { time: dayIn(invite.expires) }), invite.rooms?.map((r) => `#${r}`).join(', ')].filter(Boolean).join(' · ')}>
            <Doing label={t('revoke')} harsh does={() => call('DELETE', `${all ? 'v1/admin/invites' : 'v1/invites'}/${path(invite.id)}`)} done={loaded.reload} />
          </Item>
        ))}
      </ul>
    </>
  )
}

function NewInvite({ done }: { done(link: string): Promise<void> }) {
  const role = useSignal<'member' | 'guest'>('member')
  const uses = useSignal(1)
  const expires = useSignal('7d')
  const rooms = useSignal<string[]>([])
  const sending = useSending(async () => {
    const { link } = await call<{ link: string }>('POST', 'v1/invites', { role: role.peek(), uses: uses.peek(), expires_in: expires.peek(), ...(rooms.peek().length > 0 ? { rooms: rooms.peek() } : {}) })
    rooms.value = []
    await done(link)
  })
  return (
    <form class="fields in-line" onSubmit={sending.submit}>
      <label class="field">
        <span>{t('role')}</span>
        <select value={role.value} onChange={(event) => (role.value = event.currentTarget.value as 'member' | 'guest')}>
          <option value="member">{t('role_member')}</option>
          <option value="guest">{t('role_guest')}</option>
        </select>
      </label>
      <label class="field">
        <span>{t('uses')}</span>
        <select value={uses.value} onChange={(event) => (uses.value = Number(event.currentTarget.value))}>
          {[1, 5, 25, 100].map((n) => (
            <option key={n} value={n}>
              {n}
            </option>
          ))}
        </select>
      </label>
      <label class="field">
        <span>{t('expires')}</span>
        <select value={expires.value} onChange={(event) => (expires.value = event.currentTarget.value)}>
          {['1d', '7d', '30d'].map((age) => (
            <option key={age} value={age}>
              {ageOf(age)}
            </option>
          ))}
        </select>
      </label>
      <RoomPicker label={t('inviteRooms')} chosen={rooms} most={mostRooms} offered={(room) => may('invite', factsOf(room))} />
      <Submit sending={sending}>{t('makeInvite')}</Submit>
      <Confirm sending={sending} />
      <Failure sending={sending} />
    </form>
  )
}
