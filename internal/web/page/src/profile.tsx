// The profile of the account, and the people it has blocked.

import { useSignal } from '@preact/signals'
import { call, path } from './api'
import { Failure, Field, Submit, useSending } from './form'
import { Doing, Item, useLoaded } from './listing'
import { Avatar } from './nick'
import type { Account } from './protocol'
import { account } from './state'
import { t } from './texts'

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
        {saved.value && (
          <p class="quiet" role="status">
            {t('saved')}
          </p>
        )}
      </form>
      <Blocks />
    </>
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
