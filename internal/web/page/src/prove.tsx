// Proving again who is at this browser, where the server wants a fresh sign-in: by
// whichever way the account has.

import { useSignal } from '@preact/signals'
import { useEffect } from 'preact/hooks'
import { confirm, learnSession, providerLink } from './account'
import { problemOf } from './api'
import { Failure, Field, useSending } from './form'
import { confirm as confirmWithPasskey, supported } from './passkey'
import type { Problem, Way } from './protocol'
import { server } from './state'
import { Key } from './symbols'
import { explain, t } from './texts'

interface Props {
  /** Of the field of the password. */
  name: string
  /** Of its label and its button. */
  field: string
  label: string
  /** The main thing to do here. */
  main?: boolean
  done(): void
}

export function Prove({ name, field, label, main = false, done }: Props) {
  // Older servers know the password only.
  const ways = useSignal<Way[] | undefined>(undefined)
  const failed = useSignal<Problem | undefined>(undefined)
  useEffect(() => {
    learnSession().then(
      (session) => (ways.value = session?.ways ?? ['password']),
      (error: unknown) => (failed.value = problemOf(error)),
    )
  }, [])
  const password = useSignal('')
  const typing = useSending(async () => {
    await confirm(password.peek())
    password.value = ''
    done()
  })
  const passkey = useSending(async () => {
    await confirmWithPasskey()
    done()
  })
  if (failed.value) {
    return (
      <p class="problem" role="alert">
        {explain(failed.value)}
      </p>
    )
  }
  if (!ways.value) return <p class="quiet">{t('loading')}</p>
  const has = (way: Way) => ways.value!.includes(way)
  const byPasskey = has('passkey') && server.value?.passkeys === true && supported()
  const byProvider = has('oidc') && server.value?.provider !== undefined
  const button = (first: boolean) => (first ? (main ? 'primary' : 'secondary') : 'secondary wide')
  return (
    <div
      class="confirm"
      onKeyDown={(event) => {
        // It may stand inside a form, and its other buttons do not belong to the password.
        if (event.key !== 'Enter' || !(event.target instanceof HTMLInputElement)) return
        event.preventDefault()
        typing.submit()
      }}
    >
      {has('password') && (
        <>
          <Field name={name} type="password" label={field} value={password} sending={typing} autofocus autocomplete="current-password" help={t('confirmHelp')} />
          <Failure sending={typing} fields={['password'].filter((own) => own === name)} />
          <button type="button" class={button(true)} disabled={typing.busy.value} onClick={() => typing.submit()}>
            {label}
          </button>
        </>
      )}
      {!has('password') && (byPasskey || byProvider) && <p class="quiet">{t('confirmHelp')}</p>}
      {has('password') && (byPasskey || byProvider) && (
        <p class="or">
          <span>{t('or')}</span>
        </p>
      )}
      {byPasskey && (
        <button type="button" class={`${button(!has('password'))} with-symbol`} disabled={passkey.busy.value} onClick={() => passkey.submit()}>
          <Key />
          {t('confirmWithPasskey')}
        </button>
      )}
      <Failure sending={passkey} />
      {byProvider && (
        <a class="secondary wide" href={providerLink('confirm')}>
          {t('confirmWithProvider', { name: server.value!.provider!.name })}
        </a>
      )}
      {!has('password') && !byPasskey && !byProvider && <p class="problem">{t(has('passkey') ? 'confirmElsewhere' : 'confirmNone')}</p>}
    </div>
  )
}
