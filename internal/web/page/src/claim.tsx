// Claiming a new server: its first owner, recovery codes to save, and an invite link
// for the others.

import { useSignal } from '@preact/signals'
import { useEffect } from 'preact/hooks'
import { deviceName, learnServer } from './account'
import { APIError, call, type Access, type Session } from './api'
import { signedIn } from './chat'
import { Card, Options } from './form'
import { LinkToCopy } from './link'
import type { Problem } from './protocol'
import { RecoveryCodes } from './recovery'
import { AccountForm } from './signin'
import { way } from './state'
import { explain, t } from './texts'

interface Claimed extends Session {
  recovery_codes: string[]
  /** Absent if nobody comes in by a link. */
  invite?: string
}

export function Claim() {
  const state = useSignal<'asking' | 'good' | 'used' | Problem>('asking')
  const made = useSignal<Claimed | undefined>(undefined)
  const saved = useSignal(false)
  const access = useSignal<Access>('invite')
  const secret = way.value?.secret ?? ''
  useEffect(() => {
    if (secret === '') state.value = 'used'
    else
      call('POST', 'v1/claim/look', { claim: secret }).then(
        () => (state.value = 'good'),
        (error: APIError) => (state.value = error.status === 404 ? 'used' : error.problem),
      )
  }, [secret])
  if (made.value && !saved.value) return <RecoveryCodes codes={made.value.recovery_codes} username={made.value.account.username} done={() => (saved.value = true)} />
  if (made.value) return <Invitation made={made.value} access={access.value} />
  if (state.value === 'asking') return <Card title={t('loading')} />
  if (state.value === 'used') return <Card title={t('claimUsed')} text={t('claimUsedText')} />
  if (state.value !== 'good') return <Card title={t('noAnswer')} text={explain(state.value)} />
  return (
    <Card title={t('claimTitle')} text={t('claimText')}>
      <AccountForm
        label={t('claim')}
        secret={{ claim: secret }}
        send={async (draft) => {
          made.value = await call<Claimed>('POST', 'v1/claim', { ...draft, claim: secret, access: access.peek(), device: deviceName() })
          way.value = { screen: 'claim', secret: '' }
          void learnServer()
        }}
      >
        <WhoMayComeIn value={access} />
      </AccountForm>
    </Card>
  )
}

function WhoMayComeIn({ value }: { value: { value: Access } }) {
  return (
    <Options
      legend={t('access')}
      name="access"
      value={value}
      options={[
        ['invite', t('accessInvite'), t('accessInviteText')],
        ['signup', t('accessSignup'), t('accessSignupText')],
        ['open', t('accessOpen'), t('accessOpenText')],
        ['closed', t('accessClosed'), t('accessClosedText')],
      ]}
    />
  )
}

function Invitation({ made, access }: { made: Claimed; access: Access }) {
  return (
    <Card title={t('claimed')} text={made.invite && t(access === 'open' || access === 'signup' ? 'claimedOpenText' : 'claimedText')}>
      {made.invite && <LinkToCopy link={made.invite} label={t('inviteLink')} />}
      <button type="button" class="primary" autofocus onClick={() => signedIn(made)}>
        {t('startChatting')}
      </button>
    </Card>
  )
}
