// The ways in to the account: password, passkeys, recovery codes, single sign-on.

import { useSignal } from '@preact/signals'
import { learnSession, providerLink } from './account'
import { APIError, call, path } from './api'
import { Failure, Field, Saved, Submit, useSending } from './form'
import { Confirm, Doing, Item, useLoaded } from './listing'
import { add, supported } from './passkey'
import { CodeList } from './recovery'
import { leastPassword, PasskeysElsewhere } from './signin'
import { account, server } from './state'
import { count, dayIn, t } from './texts'

export function Security() {
  return (
    <>
      <Password />
      {server.value?.passkeys && supported() ? <Passkeys /> : <PasskeysElsewhere title={t('passkeys')} />}
      <Codes />
      {server.value?.provider && <Identities />}
    </>
  )
}

function Password() {
  const password = useSignal('')
  const saved = useSignal(false)
  const sending = useSending(async () => {
    saved.value = false
    await call('PUT', 'v1/account/password', { password: password.peek() })
    password.value = ''
    saved.value = true
  })
  return (
    <form class="fields" onSubmit={sending.submit}>
      <h3>{t('password')}</h3>
      <Field name="password" type="password" label={t('newPassword')} value={password} sending={sending} required minLength={leastPassword} autocomplete="new-password" help={t('changePasswordHelp', { min: leastPassword })} />
      <Confirm sending={sending} />
      <Failure sending={sending} fields={['password']} />
      <Submit sending={sending}>{t('changePassword')}</Submit>
      <Saved when={saved.value} />
    </form>
  )
}

interface Passkey {
  id: string
  name: string
  created: string
  used?: string
}

function Passkeys() {
  const loaded = useLoaded<{ passkeys: Passkey[] }>('v1/passkeys')
  const name = useSignal('')
  const sending = useSending(async () => {
    await add(name.peek().trim() || t('passkey'))
    name.value = ''
    await loaded.reload()
  })
  return (
    <form class="fields" onSubmit={sending.submit}>
      <h3>{t('passkeys')}</h3>
      <p class="quiet">{t('passkeysText')}</p>
      <ul class="items">
        {loaded.value.value?.passkeys.map((key) => (
          <Item key={key.id} title={key.name} text={t('since', { time: dayIn(key.created) })}>
            <Doing label={t('remove')} harsh does={() => call('DELETE', `v1/passkeys/${path(key.id)}`)} done={loaded.reload} />
          </Item>
        ))}
      </ul>
      <Field name="passkey-name" label={t('passkeyName')} value={name} autocomplete="off" maxLength={64} />
      <Confirm sending={sending} />
      <Failure sending={sending} />
      <button type="submit" class="secondary" disabled={sending.busy.value}>
        {t('addPasskey')}
      </button>
    </form>
  )
}

function Codes() {
  const loaded = useLoaded<{ left: number }>('v1/account/recovery-codes')
  const made = useSignal<string[] | undefined>(undefined)
  const sending = useSending(async () => {
    made.value = (await call<{ recovery_codes: string[] }>('POST', 'v1/account/recovery-codes')).recovery_codes
    await loaded.reload()
  })
  const left = loaded.value.value?.left
  return (
    <div class="fields">
      <h3>{t('recoveryCodes')}</h3>
      {made.value ? (
        <>
          <p>{t('saveCodesText')}</p>
          <CodeList codes={made.value} username={account.value!.username} />
        </>
      ) : (
        <>
          {left !== undefined && <p class="quiet">{left === 0 ? t('codesNone') : count('codesLeft', left)}</p>}
          <Confirm sending={sending} />
          <Failure sending={sending} />
          <button type="button" class="secondary" disabled={sending.busy.value} onClick={() => sending.submit()}>
            {t('makeCodes')}
          </button>
        </>
      )}
    </div>
  )
}

interface Identity {
  id: string
  issuer: string
}

function Identities() {
  const loaded = useLoaded<{ identities: Identity[] }>('v1/identities')
  const linking = useSending(async () => {
    // The browser shows the answer to the link itself, so it must not be a refusal.
    if (!(await learnSession())?.fresh) throw new APIError({ code: 'auth_required', message: '', confirm: true }, 403)
    location.assign(providerLink('link'))
  })
  return (
    <div class="fields">
      <h3>{server.value!.provider!.name}</h3>
      <ul class="items">
        {loaded.value.value?.identities.map((identity) => (
          <Item key={identity.id} title={identity.issuer}>
            <Doing label={t('remove')} harsh does={() => call('DELETE', `v1/identities/${path(identity.id)}`)} done={loaded.reload} />
          </Item>
        ))}
      </ul>
      <Confirm sending={linking} />
      <Failure sending={linking} />
      <button type="button" class="secondary" disabled={linking.busy.value} onClick={() => linking.submit()}>
        {t('linkProvider', { name: server.value!.provider!.name })}
      </button>
    </div>
  )
}
