// The audit, and the settings of the server.

import { useSignal } from '@preact/signals'
import { call, mostListed, path } from './api'
import { Failure, useSending } from './form'
import { Confirm, Doing, useLoaded, Waiting } from './listing'
import { deletedBy } from './retention'
import { atLeast } from './rights'
import { account } from './state'
import { fullTimeOf, t } from './texts'
import type { Texts } from './texts.en'

interface Row {
  time: string
  id: string
  username?: string
  action: string
  subject?: string
  room?: string
  detail?: string
  address?: string
  count?: number
}

export function Audit() {
  const subject = useSignal('')
  const asked = subject.value.trim()
  const loaded = useLoaded<{ rows: Row[]; more: boolean }>(`v1/admin/audit?newest=true&limit=${mostListed}${asked === '' ? '' : `&subject=${encodeURIComponent(asked)}`}`)
  return (
    <>
      <input type="search" aria-label={t('auditSubject')} placeholder={t('auditSubject')} autocomplete="off" value={subject.value} onInput={(event) => (subject.value = event.currentTarget.value)} />
      <Waiting of={loaded} />
      <ul class="items audit">
        {loaded.value.value?.rows.map((row) => (
          <li class="item" key={row.id}>
            <div class="item-text">
              <span>
                <strong>
                  <bdi>{row.username ?? (row.count ? '–' : t('operator'))}</bdi>
                </strong>{' '}
                <code>{row.action}</code> {row.subject && <bdi>{row.subject}</bdi>} {row.room && `#${row.room}`} {row.count !== undefined && row.count > 1 && `× ${row.count}`}
              </span>
              <span class="quiet">{[fullTimeOf(row.time), row.address, row.detail].filter(Boolean).join(' · ')}</span>
            </div>
          </li>
        ))}
      </ul>
    </>
  )
}

interface Setting {
  key: string
  value: string
  default: string
  help: string
  /** Only a command on the server gives it another value. Older servers do not say. */
  operator?: boolean
}

export function ServerSettings() {
  const loaded = useLoaded<{ settings: Setting[] }>('v1/admin/settings')
  return (
    <>
      <Waiting of={loaded} />
      {loaded.value.value?.settings.map((setting) => <OneSetting key={[setting.key, setting.value, setting.operator].join(' ')} setting={setting} reload={loaded.reload} />)}
    </>
  )
}

/** The name and the explanation of each setting, in the language of the page. A newer server may have others, with its own words. */
const known: Record<string, { label: keyof Texts; help: keyof Texts; values?: Record<string, keyof Texts> }> = {
  access: { label: 'access', help: 'accessHelp', values: { open: 'accessOpen', signup: 'accessSignup', invite: 'accessInvite', closed: 'accessClosed' } },
  create_rooms: { label: 'setCreateRooms', help: 'setCreateRoomsHelp', values: { member: 'setMembers', admin: 'setAdmins' } },
  invite_members: { label: 'setInviteMembers', help: 'setInviteMembersHelp', values: { member: 'setMembers', admin: 'setAdmins' } },
  auto_join: { label: 'setAutoJoin', help: 'setAutoJoinHelp' },
  retention: { label: 'setRetention', help: 'setRetentionHelp' },
  'oidc.issuer': { label: 'oidcIssuer', help: 'oidcIssuerHelp' },
  'oidc.client_id': { label: 'oidcClient', help: 'oidcClientHelp' },
  'oidc.client_secret_file': { label: 'oidcSecret', help: 'oidcSecretHelp' },
  'oidc.name': { label: 'oidcName', help: 'oidcNameHelp' },
  'oidc.scopes': { label: 'oidcScopes', help: 'oidcScopesHelp' },
  'oidc.subject_claim': { label: 'oidcSubject', help: 'oidcSubjectHelp' },
  'oidc.username_claim': { label: 'oidcUsername', help: 'oidcUsernameHelp' },
  'oidc.link_by_email': { label: 'oidcEmail', help: 'oidcEmailHelp', values: { true: 'setYes', false: 'setNo' } },
  'oidc.create': { label: 'oidcCreate', help: 'oidcCreateHelp', values: { true: 'setYes', false: 'setNo' } },
  'oidc.groups_claim': { label: 'oidcGroupsClaim', help: 'oidcGroupsClaimHelp' },
  'oidc.groups': { label: 'oidcGroups', help: 'oidcGroupsHelp' },
  'oidc.max_age': { label: 'oidcAge', help: 'oidcAgeHelp' },
}

function OneSetting({ setting, reload }: { setting: Setting; reload(): Promise<void> }) {
  const value = useSignal(setting.value)
  const saved = useSignal(setting.value)
  // How many messages the value would delete, once the owner was told; a second press does it.
  const deletes = useSignal<number | undefined>(undefined)
  const sending = useSending(async () => {
    if (setting.key === 'retention' && deletes.peek() === undefined) {
      deletes.value = await deletedBy(value.peek())
      if (deletes.peek() !== undefined) return
    }
    await call('PUT', `v1/admin/settings/${path(setting.key)}`, { value: value.peek() })
    deletes.value = undefined
    saved.value = value.peek()
  })
  // Others may look, and only owners change them.
  const owner = atLeast(account.value, 'owner')
  const mine = owner && setting.operator !== true
  const id = `setting-${setting.key}`
  const about = Object.hasOwn(known, setting.key) ? known[setting.key] : undefined
  return (
    <form class="beside" onSubmit={sending.submit}>
      <div class="field">
        <label for={id}>{about ? t(about.label) : <code>{setting.key}</code>}</label>
        {about?.values ? (
          <select id={id} disabled={!mine} value={value.value} aria-describedby={`${id}-help`} onChange={(event) => (value.value = event.currentTarget.value)}>
            {Object.entries(about.values).map(([key, label]) => (
              <option key={key} value={key}>
                {t(label)}
              </option>
            ))}
          </select>
        ) : (
          <input id={id} type="text" autocomplete="off" autocapitalize="off" spellcheck={false} readOnly={!mine} value={value.value} placeholder={setting.default} aria-describedby={`${id}-help`} onInput={(event) => {
            value.value = event.currentTarget.value
            deletes.value = undefined
          }} />
        )}
      </div>
      {mine && (
        <button type="submit" class="secondary" disabled={value.value === saved.value || sending.busy.value}>
          {t(deletes.value === undefined ? 'save' : 'retentionDelete')}
        </button>
      )}
      {owner && !mine && setting.value !== '' && <Doing label={t('remove')} harsh does={() => call('PUT', `v1/admin/settings/${path(setting.key)}`, { value: '' })} done={reload} />}
      {deletes.value !== undefined && <p role="alert">{t('retentionDeletes', { count: deletes.value })}</p>}
      <p class="quiet help" id={`${id}-help`}>
        {about ? t(about.help) : setting.help}{' '}
        {owner && !mine && (
          <>
            {t('setOnServer')} <code>kaban settings set {setting.key} …</code>
          </>
        )}
      </p>
      <Confirm sending={sending} />
      <Failure sending={sending} />
    </form>
  )
}
