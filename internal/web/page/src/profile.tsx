// The profile of the account, and the people it has blocked.

import { useSignal, type Signal } from '@preact/signals'
import { call, path } from './api'
import { Failure, Field, Saved, Submit, useSending } from './form'
import { Doing, Item, useLoaded } from './listing'
import { Avatar } from './nick'
import type { Account } from './protocol'
import { loadMembers } from './names'
import { ends, endOf } from './pause'
import { ask } from './session'
import { account, room, username } from './state'
import { t, untilOf } from './texts'

export function Profile() {
  const name = useSignal(account.peek()?.name ?? '')
  const saved = useSignal(false)
  const sending = useSending(async () => {
    account.value = await call<Account>('PATCH', 'v1/account', { name: name.peek().trim() })
    saved.value = true
  })
  const me = account.value!
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
      <form class="fields" onSubmit={sending.submit}>
        <Field name="name" label={t('displayName')} value={name} sending={sending} maxLength={64} autocomplete="name" />
        <Failure sending={sending} fields={['name']} />
        <Submit sending={sending}>{t('save')}</Submit>
        <Saved when={saved.value} />
      </form>
      <AwayForm />
      <Blocks />
    </>
  )
}

/** What the account says of itself in lists of members. */
function AwayForm() {
  const saved = useSignal(false)
  // The list of members is where the server says it.
  const mine = room.value?.members.value?.find((m) => m.username === username.value)
  return <AwayFields saved={saved} key={`${mine?.away} ${mine?.status} ${mine?.until_ms}`} away={mine?.away ?? false} text={mine?.status ?? ''} until={mine?.until_ms} />
}

function AwayFields({ saved, away: kept, text: keptText, until: keptUntil }: { saved: Signal<boolean>; away: boolean; text: string; until: number | undefined }) {
  const away = useSignal(kept)
  const text = useSignal(keptText)
  const until = useSignal(keptUntil === undefined ? '' : 'kept')
  const sending = useSending(async () => {
    const status = text.peek().trim()
    const end = until.peek() === 'kept' ? keptUntil : endOf(until.peek())
    await ask<{ type: 'ok' }>({ type: 'away', away: away.peek(), ...(status === '' ? {} : { text: status }), ...(end === undefined ? {} : { until_ms: end }) })
    saved.value = true
    if (room.peek()) await loadMembers(room.peek()!)
  })
  return (
    <form class="fields" onSubmit={sending.submit} onInput={() => (saved.value = false)}>
      <Field name="status" label={t('status')} help={t('statusHelp')} value={text} sending={sending} maxLength={128} autocomplete="off" />
      <label class="option">
        <input type="checkbox" id="away" checked={away.value} onChange={(event) => (away.value = event.currentTarget.checked)} />
        <span>{t('awayMe')}</span>
      </label>
      <label class="field">
        <span>{t('statusUntil')}</span>
        <select id="away-until" value={until.value} onChange={(event) => (until.value = event.currentTarget.value)}>
          <option value="">{t('noEnd')}</option>
          {keptUntil !== undefined && <option value="kept">{untilOf(keptUntil)}</option>}
          {ends.map(([key, label]) => (
            <option key={key} value={key}>
              {t(label)}
            </option>
          ))}
        </select>
      </label>
      <Failure sending={sending} />
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
