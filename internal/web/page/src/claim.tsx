// Claiming a new server: its first owner, recovery codes to save, and an invite link
// for the others.

import { useSignal } from '@preact/signals'
import { useEffect } from 'preact/hooks'
import { deviceName, learnServer } from './account'
import { a, loadAdminTexts } from './admintexts'
import { APIError, call, problemOf, type Access, type Session } from './api'
import { signedIn } from './chat'
import { Card, Options } from './form'
import { LinkToCopy } from './link'
import type { Problem } from './protocol'
import { RecoveryCodes } from './recovery'
import { AccountForm } from './signin'
import { way } from './state'
import { explain, language, t } from './texts'

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
    const look = async () => {
      try {
        await loadAdminTexts(language.peek())
        if (secret !== '') await call('POST', 'v1/claim/look', { claim: secret })
        state.value = secret === '' ? 'used' : 'good'
      } catch (error) {
        state.value = error instanceof APIError && error.status === 404 ? 'used' : problemOf(error)
      }
    }
    void look()
  }, [secret])
  if (made.value && !saved.value) return <RecoveryCodes codes={made.value.recovery_codes} username={made.value.account.username} done={() => (saved.value = true)} />
  if (made.value) return <Invitation made={made.value} access={access.value} />
  if (state.value === 'asking') return <Card title={t('loading')} />
  if (state.value === 'used') return <Card title={a('claimUsed')} text={a('claimUsedText')} />
  if (state.value !== 'good') return <Card title={t('noAnswer')} text={explain(state.value)} />
  return (
    <Card title={a('claimTitle')} text={a('claimText')}>
      <AccountForm
        label={a('claim')}
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
      legend={a('access')}
      name="access"
      value={value}
      options={[
        ['invite', a('accessInvite'), a('accessInviteText')],
        ['signup', a('accessSignup'), a('accessSignupText')],
        ['open', a('accessOpen'), a('accessOpenText')],
        ['closed', a('accessClosed'), a('accessClosedText')],
      ]}
    />
  )
}

function Invitation({ made, access }: { made: Claimed; access: Access }) {
  return (
    <Card title={a('claimed')} text={made.invite && a(access === 'open' || access === 'signup' ? 'claimedOpenText' : 'claimedText')}>
      {made.invite && <LinkToCopy link={made.invite} label={t('inviteLink')} />}
      <button type="button" class="primary" autofocus onClick={() => signedIn(made)}>
        {t('startChatting')}
      </button>
    </Card>
  )
}
