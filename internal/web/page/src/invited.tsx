// Links for people without an account here, and for those who need a new password.

import { useSignal } from '@preact/signals'
import { useEffect } from 'preact/hooks'
import { deviceName, learnServer, withLink } from './account'
import { APIError, call, type Session } from './api'
import { signedIn } from './chat'
import { Card, Failure, Field, Submit, useSending } from './form'
import { begin, supported } from './passkey'
import type { Problem, Role } from './protocol'
import { AccountForm, leastPassword, SignIn } from './signin'
import { server, way } from './state'
import { Key } from './symbols'
import { explain, t } from './texts'

interface Invite {
  kind: 'invite' | 'sign_in'
  role: Role
  rooms?: string[]
  by?: string
  /** With `sign_in`: whom it signs in. */
  username?: string
  expires: string
}

/** The page of /invite and of /sign-in: both kinds of links work at either. */
export function Invited() {
  const secret = way.value?.secret ?? ''
  const found = useSignal<Invite | 'asking' | 'used' | Problem>('asking')
  useEffect(() => {
    found.value = secret === '' ? 'used' : 'asking'
    if (secret !== '')
      call<Invite>('POST', 'v1/invite/look', { invite: secret }).then(
        (invite) => (found.value = invite),
        (error: APIError) => (found.value = error.status === 404 || error.status === 401 || error.status === 403 ? 'used' : error.problem),
      )
  }, [secret])
  const invite = found.value
  if (secret === '' && way.value?.screen !== 'invite') return <SignIn />
  if (invite === 'asking') return <Card title={t('loading')} />
  if (invite === 'used') return <Card title={t('linkUsed')} text={t('linkUsedText')} />
  if ('code' in invite) return <Card title={t('noAnswer')} text={explain(invite)} />
  return invite.kind === 'sign_in' ? <OneSignIn username={invite.username ?? ''} secret={secret} /> : <Accept invite={invite} secret={secret} />
}

function Accept({ invite, secret }: { invite: Invite; secret: string }) {
  const rooms = (invite.rooms ?? []).map((room) => `#${room}`).join(', ')
  return (
    <Card title={invite.by ? t('invitedBy', { name: invite.by }) : t('invited')} text={t(rooms === '' ? 'invitedText' : 'invitedRooms', { rooms, host: location.host })}>
      <AccountForm label={t('acceptInvite')} secret={{ invite: secret }} send={async (draft) => signedIn(await call<Session>('POST', 'v1/invite/accept', { ...draft, invite: secret, device: deviceName() }))} />
    </Card>
  )
}

/** A link that signs in once: the moment to choose a password. */
function OneSignIn({ username, secret }: { username: string; secret: string }) {
  const password = useSignal('')
  const sending = useSending(async () => signedIn(await withLink(secret, { password: password.peek() })))
  const passkey = useSending(async () => signedIn(await withLink(secret, { passkey: await begin({ username, invite: secret }) })))
  useEffect(() => {
    if (!server.peek()) void learnServer() // whether it has passkeys
  }, [])
  return (
    <Card title={t('hello', { name: username })} text={t('choosePassword')}>
      <form class="fields" onSubmit={sending.submit}>
        {/* So that password managers know whose password it is. */}
        <input class="hidden" type="text" name="username" autocomplete="username" value={username} readOnly tabIndex={-1} aria-hidden="true" />
        <Field name="password" type="password" label={t('newPassword')} value={password} sending={sending} required minLength={leastPassword} autofocus autocomplete="new-password" help={t('passwordHelp', { min: leastPassword })} />
        <Failure sending={sending} fields={['password']} />
        <Submit sending={sending}>{t('signIn')}</Submit>
        {server.value?.passkeys && supported() && (
          <>
            <p class="or">
              <span>{t('or')}</span>
            </p>
            <button type="button" class="secondary wide with-symbol" disabled={passkey.busy.value || sending.busy.value} onClick={() => passkey.submit()}>
              <Key />
              {t('passkeyInstead')}
            </button>
            <Failure sending={passkey} />
          </>
        )}
      </form>
    </Card>
  )
}
