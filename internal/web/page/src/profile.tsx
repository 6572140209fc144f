// The profile of the account, and the people it has blocked.

import { useSignal, type Signal } from '@preact/signals'
import { call, path } from './api'
import { Failure, Field, Saved, Submit, useSending } from './form'
import { Doing, Item, useLoaded } from './listing'
import { Avatar } from './nick'
import type { Account, Member } from './protocol'
import { loadMembers } from './names'
import { ends, endOf } from './pause'
import { ask } from './session'
import { account, room, username } from './state'
import { momentOf, t } from './texts'

export function Profile() {
  const me = account.value!
  const name = useSignal(me.name ?? '')
  const saved = useSignal(false)
  // The list of members is where the server says whether the account is away.
  const mine = room.value?.members.value?.find((m) => m.username === username.value)
  return (
    <>
      <div class="person">
        <Avatar username={me.username} />
        <div>
          <strong>
            <bdi>{me.username}</bdi>
          </strong>
          <p class="quiet">{t(`role_${me.role}`)}</p>
        </div>
      </div>
      <ProfileForm key={`${mine?.away} ${mine?.status} ${mine?.until_ms}`} name={name} saved={saved} kept={mine} />
      <Blocks />
    </>
  )
}

interface ProfileFormProps {
  name: Signal<string>
  saved: Signal<boolean>
  kept: Member | undefined
}

/** What the account says of itself: its name, and whether it is away. One button saves what was changed. */
function ProfileForm({ name, saved, kept }: ProfileFormProps) {
  const away = useSignal(kept?.away ?? false)
  const text = useSignal(kept?.status ?? '')
  const keptUntil = kept?.until_ms
  const before = keptUntil === undefined ? '' : 'kept'
  const until = useSignal(before)
  const sending = useSending(async () => {
    const called = name.peek().trim()
    if (called !== (account.peek()?.name ?? '')) account.value = await call<Account>('PATCH', 'v1/account', { name: called })
    const status = text.peek().trim()
    if (away.peek() !== (kept?.away ?? false) || status !== (kept?.status ?? '') || until.peek() !== before) {
      const end = until.peek() === 'kept' ? keptUntil : endOf(until.peek())
      await ask<{ type: 'ok' }>({ type: 'away', away: away.peek(), ...(status === '' ? {} : { text: status }), ...(end === undefined ? {} : { until_ms: end }) })
      if (room.peek()) await loadMembers(room.peek()!)
    }
    saved.value = true
  })
  return (
    <form class="fields" onSubmit={sending.submit} onInput={() => (saved.value = false)}>
      <Field name="name" label={t('displayName')} value={name} sending={sending} maxLength={64} autocomplete="name" />
      <Field name="status" label={t('status')} help={t('statusHelp')} value={text} sending={sending} maxLength={128} autocomplete="off" />
      <label class="option">
        <input type="checkbox" id="away" checked={away.value} onChange={(event) => (away.value = event.currentTarget.checked)} />
        <span>{t('awayMe')}</span>
      </label>
      <label class="field">
        <span>{t('statusUntil')}</span>
        <select id="away-until" value={until.value} onChange={(event) => (until.value = event.currentTarget.value)}>
          <option value="">{t('noEnd')}</option>
          {keptUntil !== undefined && <option value="kept">{momentOf(new Date(keptUntil).toISOString())}</option>}
          {ends.map(([key, label]) => (
            <option key={key} value={key}>
              {t(label)}
            </option>
          ))}
        </select>
      </label>
      <Failure sending={sending} fields={['name']} />
      <Submit sending={sending}>{t('save')}</Submit>
      <Saved when={saved.value} />
    </form>
  )
}

function Blocks() {
  const loaded = useLoaded<{ usernames: string[] }>('v1/blocks')
  const names = loaded.value.value?.usernames ?? []
  if (names.length === 0) return null
  return (
    <>
      <h3>{t('blocked')}</h3>
      <ul class="items">
        {names.map((name) => (
          <Item key={name} title={name}>
            <Doing label={t('unblock')} does={() => call('DELETE', `v1/blocks/${path(name)}`)} done={loaded.reload} />
          </Item>
        ))}
      </ul>
    </>
  )
}
