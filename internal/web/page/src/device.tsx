// Lets another device sign in: its terminal shows a code, and this page says which
// device asks, from where, and lets the user decide.

import { useSignal, type Signal } from '@preact/signals'
import { useEffect } from 'preact/hooks'
import { learnServer, learnSession } from './account'
import { call, type Session } from './api'
import { Card, Failure, Field, Submit, useSending } from './form'
import { Prove } from './prove'
import { SignInForm } from './signin'
import { way } from './state'
import { t, timeOf } from './texts'

interface Asking {
  name: string
  address: string
  requested: string
}

/** The code as it is compared: without what people put in between. */
const plain = (code: string) => code.toUpperCase().replace(/[^A-Z]/g, '')

export function Device() {
  const session = useSignal<Session | 'asking' | 'none'>('asking')
  const asking = useSignal<Asking | undefined>(undefined)
  const code = useSignal(way.peek()?.secret ?? '')
  const decided = useSignal<boolean | undefined>(undefined)
  useEffect(() => {
    void learnServer()
      .then(learnSession)
      .then(
        (found) => (session.value = found ?? 'none'),
        () => (session.value = 'none'),
      )
  }, [])
  const who = session.value
  if (who === 'asking') return <Card title={t('loading')} />
  if (who === 'none') {
    return (
      <Card title={t('signInTitle')} text={t('deviceSignIn')}>
        <SignInForm done={(found) => (session.value = found)} />
      </Card>
    )
  }
  if (decided.value !== undefined) return <Card title={t(decided.value ? 'deviceApproved' : 'deviceDenied')} text={t(decided.value ? 'deviceApprovedText' : 'deviceDeniedText')} />
  if (!asking.value) return <EnterCode code={code} found={(device) => (asking.value = device)} />
  return <Decide session={who} device={asking.value} code={plain(code.value)} done={(approved) => (decided.value = approved)} />
}

function EnterCode({ code, found }: { code: Signal<string>; found(device: Asking): void }) {
  const sending = useSending(async () => found(await call<Asking>('POST', 'v1/device/look', { user_code: plain(code.peek()) })))
  // The link had the code.
  useEffect(() => {
    if (plain(code.peek()) !== '') sending.submit()
  }, [])
  const wrong = sending.problem.value?.code === 'not_found'
  return (
    <Card title={t('deviceTitle')} text={t('deviceText')}>
      <form class="fields" onSubmit={sending.submit}>
        <Field name="user_code" label={t('deviceCode')} value={code} sending={sending} required autofocus autocomplete="one-time-code" class="code" />
        {wrong ? (
          <p class="problem" role="alert">
            {t('deviceWrong')}
          </p>
        ) : (
          <Failure sending={sending} fields={['user_code']} />
        )}
        <Submit sending={sending}>{t('continue')}</Submit>
      </form>
    </Card>
  )
}

function Decide({ session, device, code, done }: { session: Session; device: Asking; code: string; done(approved: boolean): void }) {
  const decide = (approve: boolean) => async () => {
    await call('POST', 'v1/device/decide', { user_code: code, approve })
    done(approve)
  }
  const approving = useSending(decide(true))
  const denying = useSending(decide(false))
  // It was fresh when the page was opened, perhaps long ago.
  const proving = !session.fresh || approving.problem.value?.confirm
  return (
    <Card title={t('deviceAsks', { name: device.name === '' ? t('deviceUnnamed') : device.name })} text={t('deviceAsksText', { name: session.account.username })}>
      <dl class="facts">
        <div>
          <dt>{t('deviceFrom')}</dt>
          <dd>{device.address}</dd>
        </div>
        <div>
          <dt>{t('deviceWhen')}</dt>
          <dd>{timeOf(device.requested)}</dd>
        </div>
      </dl>
      <form class="fields" onSubmit={approving.submit}>
        {proving ? (
          <Prove main name="password" field={t('password')} label={t('approve')} done={() => approving.submit()} />
        ) : (
          <Submit sending={approving}>{t('approve')}</Submit>
        )}
        <Failure sending={approving} />
        <Failure sending={denying} />
        <button type="button" class="secondary wide" disabled={denying.busy.value} onClick={() => denying.submit()}>
          {t('deny')}
        </button>
      </form>
    </Card>
  )
}
