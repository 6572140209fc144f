// Coming in: the form that asks visitors for a name, signing in, and signing up.

import { useSignal } from '@preact/signals'
import type { ComponentChildren } from 'preact'
import { useEffect, useRef } from 'preact/hooks'
import { learnServer, providerLink, withPassword, withRecoveryCode } from './account'
import { APIError, call, type Session } from './api'
import { enter, signedIn } from './chat'
import { Card, Failure, Field, fieldOf, Submit, useSending } from './form'
import { begin, byName, signIn as signInWithPasskey, supported } from './passkey'
import { ended, limits, refusal, screen, server, status, username } from './state'
import { whyNotIn } from './states'
import { load } from './storage'
import { Key } from './symbols'
import { explain, t } from './texts'

/** Asks a visitor for a name. */
export function Join() {
  const input = useRef<HTMLInputElement>(null)
  const waiting = status.value === 'connecting' || status.value === 'waiting'
  const max = limits.value.username
  const problem = refusal.value
  return (
    <main class="join">
      <form
        class="card"
        onSubmit={(event) => {
          event.preventDefault()
          const name = input.current!.value
          if (name.trim() === '') refusal.value = { code: 'empty_username', message: '' }
          else enter(name.trim())
        }}
      >
        <span class="logo big" aria-hidden="true" />
        <h1>{t('welcome')}</h1>
        <p class="quiet">{t('welcomeText')}</p>
        <label class="field" for="name">
          <span>{t('yourName')}</span>
          <input
            id="name"
            type="text"
            name="username"
            autocomplete="nickname"
            autocapitalize="off"
            spellcheck={false}
            autofocus
            ref={input}
            defaultValue={load('username') ?? ''}
            aria-describedby={problem ? 'name-problem' : 'name-help'}
            aria-invalid={problem !== undefined}
            onInput={() => (refusal.value = undefined)}
          />
        </label>
        {problem ? (
          <p class="problem" id="name-problem" role="alert">
            {explain(problem)}
          </p>
        ) : (
          <p class="quiet" id="name-help" role="status">
            {(waiting && whyNotIn()) || t('nameHelp', { max })}
          </p>
        )}
        <button type="submit" class="primary" disabled={waiting}>
          {waiting ? t('joining') : t('join')}
        </button>
        {server.value?.claimed && (
          <p class="aside">
            {t('haveAccount')} <Go to="sign-in">{t('signIn')}</Go>
          </p>
        )}
      </form>
    </main>
  )
}

function Go({ to, children }: { to: 'sign-in' | 'sign-up' | 'name'; children: ComponentChildren }) {
  return (
    <button
      type="button"
      class="plain"
      onClick={() => {
        refusal.value = undefined
        screen.value = to
      }}
    >
      {children}
    </button>
  )
}

export function SignIn() {
  const known = server.value
  // A browser may know an account of the server that was here before.
  if (known && !known.claimed) return known.visitors ? <Join /> : <Card title={t('unclaimed')} text={t('unclaimedText')} />
  return (
    <Card title={t(ended.value ? 'signedOut' : 'signInTitle')} text={ended.value && t('signedOutText')}>
      {refusal.value && (
        <p class="problem" role="alert">
          {explain(refusal.value)}
        </p>
      )}
      <SignInForm done={signedIn} />
      {known?.sign_up && (
        <p class="aside">
          {t('noAccount')} <Go to="sign-up">{t('signUp')}</Go>
        </p>
      )}
      {known?.visitors && (
        <p class="aside">
          <Go to="name">{t('asVisitor')}</Go>
        </p>
      )}
      {known?.access === 'invite' && <p class="aside quiet">{t('byInvite')}</p>}
    </Card>
  )
}

/** All ways to sign in. */
export function SignInForm({ done }: { done(session: Session): void }) {
  const name = useSignal(ended.peek() ? username.peek() : '')
  const secret = useSignal('')
  const recovering = useSignal(false)
  const password = useSending(async () => done(await (recovering.peek() ? withRecoveryCode : withPassword)(name.peek().trim(), secret.peek())))
  const passkey = useSending(async () => done(await signInWithPasskey()))
  const known = server.value
  return (
    <>
      <form class="fields" onSubmit={password.submit}>
        <Field name="username" label={t('username')} value={name} sending={password} required autofocus={name.peek() === ''} autocomplete="username webauthn" />
        {recovering.value ? (
          <Field key="code" name="password" label={t('recoveryCode')} value={secret} sending={password} required autofocus autocomplete="off" help={t('recoveryCodeHelp')} />
        ) : (
          <Field key="password" name="password" type="password" label={t('password')} value={secret} sending={password} required autofocus={name.peek() !== ''} autocomplete="current-password" />
        )}
        <Failure sending={password} fields={['username', 'password']} />
        <Failure sending={passkey} />
        <Submit sending={password}>{t('signIn')}</Submit>
      </form>
      {((known?.passkeys && supported()) || known?.provider) && (
        <p class="or">
          <span>{t('or')}</span>
        </p>
      )}
      {known?.passkeys && supported() && (
        <button type="button" class="secondary wide with-symbol" disabled={passkey.busy.value} onClick={() => passkey.submit()}>
          <Key />
          {t('withPasskey')}
        </button>
      )}
      <PasskeysElsewhere />
      {known?.provider && (
        <a class="secondary wide" href={providerLink()}>
          {t('withProvider', { name: known.provider.name })}
        </a>
      )}
      <p class="aside">
        <button
          type="button"
          class="plain"
          onClick={() => {
            recovering.value = !recovering.value
            secret.value = ''
            password.problem.value = undefined
          }}
        >
          {t(recovering.value ? 'usePassword' : 'useRecoveryCode')}
        </button>
      </p>
    </>
  )
}

/** Says why there are no passkeys, where another address of the same page has them. */
export function PasskeysElsewhere({ title }: { title?: string }) {
  const address = server.value?.passkeys && byName()
  if (!address) return null
  const hint = <p class="quiet help no-passkeys">{t('passkeysElsewhere', { address })}</p>
  if (!title) return hint
  return (
    <div class="fields">
      <h3>{title}</h3>
      {hint}
    </div>
  )
}

/** The fields of a new account. */
export interface Draft {
  username: string
  /** One of the two. */
  password?: string
  passkey?: object
  name?: string
}

interface AccountFormProps {
  send(draft: Draft): Promise<void>
  /** The secret that lets somebody make an account, where one is needed. */
  secret?: { claim: string } | { invite: string }
  label: string
  children?: ComponentChildren
}

/** Asks for username, name, and a password or a passkey, and makes an account of them. */
export function AccountForm({ send, secret, label, children }: AccountFormProps) {
  const chosen = useSignal(load('username') ?? '')
  const name = useSignal('')
  const password = useSignal('')
  const about = () => ({ username: chosen.peek().trim(), ...(name.peek().trim() === '' ? {} : { name: name.peek().trim() }) })
  const sending = useSending(() => send({ ...about(), password: password.peek() }))
  const passkey = useSending(async () => {
    try {
      await send({ ...about(), passkey: await begin({ ...about(), ...secret }) })
    } catch (error) {
      const problem = error instanceof APIError ? error.problem : undefined
      // The fields are those of the other way.
      if (problem && fieldOf(problem) !== undefined && problem.code !== 'auth_failed') sending.problem.value = problem
      else if (problem?.code === 'auth_failed') throw new APIError({ ...problem, code: 'passkey_failed' }, 0)
      else throw error
    }
  })
  useEffect(() => {
    if (!server.peek()) void learnServer() // whether it has passkeys
  }, [])
  return (
    <form class="fields" onSubmit={sending.submit}>
      <Field name="username" label={t('username')} value={chosen} sending={sending} required autofocus autocomplete="username" help={t('nameHelp', { max: limits.value.username })} />
      <Field name="name" label={t('displayName')} value={name} sending={sending} autocomplete="name" autocapitalize="words" />
      <Field name="password" type="password" label={t('password')} value={password} sending={sending} required minLength={leastPassword} autocomplete="new-password" help={t('passwordHelp', { min: leastPassword })} />
      {children}
      <Failure sending={sending} fields={['username', 'name', 'password']} />
      <Submit sending={sending}>{label}</Submit>
      {server.value?.passkeys && supported() && (
        <>
          <p class="or">
            <span>{t('or')}</span>
          </p>
          <button type="button" class="secondary wide with-symbol" disabled={passkey.busy.value || sending.busy.value} onClick={() => passkey.submit()}>
            <Key />
            {t('passkeyInstead')}
          </button>
          <p class="quiet help">{t('passkeyInsteadHelp')}</p>
          <Failure sending={passkey} />
        </>
      )}
      <PasskeysElsewhere />
    </form>
  )
}

/** The shortest password that the server takes, in bytes. */
export const leastPassword = 10

export function SignUp() {
  return (
    <Card title={t('signUpTitle')}>
      <AccountForm label={t('signUp')} send={async (draft) => signedIn(await call<Session>('POST', 'v1/accounts', draft))} />
      <p class="aside">
        {t('haveAccount')} <Go to="sign-in">{t('signIn')}</Go>
      </p>
    </Card>
  )
}

/** While it is not known yet who may come in. */
export function Starting() {
  return (
    <main class="join" aria-busy="true" aria-label={t('loading')}>
      <span class="logo big starting" />
    </main>
  )
}
