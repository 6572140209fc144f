// Tokens for programs, of the account and of its bots.

import { useSignal } from '@preact/signals'
import { call, path } from './api'
import { Failure, Field, Submit, useSending } from './form'
import { LinkToCopy } from './link'
import { Confirm, Doing, Item, useLoaded, Waiting } from './listing'
import { mostRooms, RoomPicker } from './picker'
import type { Account } from './protocol'
import { account } from './state'
import { ageOf, dayIn, t } from './texts'

interface Token {
  id: string
  name: string
  created: string
  used?: string
  expires?: string
  rooms?: string[]
  read_only: boolean
}

export function Tokens() {
  const bots = useLoaded<{ bots: Account[] }>('v1/bots')
  const whose = useSignal('')
  const all = bots.value.value?.bots ?? []
  return (
    <>
      <p class="quiet">{t('tokensText')}</p>
      {all.length > 0 && (
        <label class="field">
          <span>{t('tokensOf')}</span>
          <select value={whose.value} onChange={(event) => (whose.value = event.currentTarget.value)}>
            <option value="">{account.value!.username}</option>
            {all.map((bot) => (
              <option key={bot.username} value={bot.username}>
                {bot.username} ({t('bot')})
              </option>
            ))}
          </select>
        </label>
      )}
      <TokensOf key={whose.value} username={whose.value} />
      <NewBot done={bots.reload} />
    </>
  )
}

function TokensOf({ username }: { username: string }) {
  const loaded = useLoaded<{ tokens: Token[] }>(username === '' ? 'v1/tokens' : `v1/tokens?username=${encodeURIComponent(username)}`)
  const name = useSignal('')
  const expires = useSignal('90d')
  const reads = useSignal(false)
  const rooms = useSignal<string[]>([])
  const made = useSignal<string | undefined>(undefined)
  const sending = useSending(async () => {
    const { token } = await call<{ token: string }>('POST', 'v1/tokens', {
      name: name.peek().trim(),
      ...(username === '' ? {} : { username }),
      ...(expires.peek() === '' ? {} : { expires_in: expires.peek() }),
      ...(reads.peek() ? { read_only: true } : {}),
      ...(rooms.peek().length > 0 ? { rooms: rooms.peek() } : {}),
    })
    made.value = token
    name.value = ''
    rooms.value = []
    await loaded.reload()
  })
  return (
    <>
      <Waiting of={loaded} empty={t('noTokens')} />
      <ul class="items">
        {loaded.value.value?.tokens.map((token) => (
          <Item key={token.id} title={token.name} badge={token.read_only ? t('readOnly') : undefined} text={[t('since', { time: dayIn(token.created) }), token.expires && t('until', { time: dayIn(token.expires) }), token.rooms?.map((r) => `#${r}`).join(', ')].filter(Boolean).join(' · ')}>
            <Doing label={t('revoke')} harsh does={() => call('DELETE', `v1/tokens/${path(token.id)}`)} done={loaded.reload} />
          </Item>
        ))}
      </ul>
      {made.value && <LinkToCopy link={made.value} label={t('tokenOnce')} />}
      <form class="fields" onSubmit={sending.submit}>
        <h3>{t('newToken')}</h3>
        <Field name="token-name" label={t('tokenName')} value={name} required maxLength={64} autocomplete="off" />
        <label class="field">
          <span>{t('expires')}</span>
          <select value={expires.value} onChange={(event) => (expires.value = event.currentTarget.value)}>
            {['7d', '30d', '90d', '365d'].map((age) => (
              <option key={age} value={age}>
                {ageOf(age)}
              </option>
            ))}
            <option value="">{t('never')}</option>
          </select>
        </label>
        <RoomPicker label={t('tokenRooms')} chosen={rooms} most={mostRooms} />
        <label class="option">
          <input type="checkbox" checked={reads.value} onChange={(event) => (reads.value = event.currentTarget.checked)} />
          <span>{t('readOnlyLong')}</span>
        </label>
        <Confirm sending={sending} />
        <Failure sending={sending} />
        <Submit sending={sending}>{t('makeToken')}</Submit>
      </form>
    </>
  )
}

function NewBot({ done }: { done(): Promise<void> }) {
  const name = useSignal('')
  const sending = useSending(async () => {
    await call('POST', 'v1/bots', { username: name.peek().trim() })
    name.value = ''
    await done()
  })
  return (
    <form class="fields" onSubmit={sending.submit}>
      <h3>{t('newBot')}</h3>
      <p class="quiet">{t('botText')}</p>
      <Field name="username" label={t('username')} value={name} sending={sending} required autocomplete="off" />
      <Confirm sending={sending} />
      <Failure sending={sending} fields={['username']} />
      <button type="submit" class="secondary" disabled={sending.busy.value}>
        {t('makeBot')}
      </button>
    </form>
  )
}
