// The audit, and the settings of the server.

import { useSignal } from '@preact/signals'
import type { ComponentChildren } from 'preact'
import { call, mostListed, path } from './api'
import { Failure, useSending } from './form'
import { Confirm, Doing, useLoaded, Waiting } from './listing'
import { deletedBy } from './retention'
import { atLeast } from './rights'
import { account } from './state'
import { fullTimeOf, language, languages, momentOf, t } from './texts'
import type { About, AdminTexts } from './texts.admin.en'
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

/** What only admins read. A row or a setting without a text is shown as the server names it. */
const useAdminTexts = () => useLoaded(language.value, (tag) => languages[tag]!.admin())

export function Audit() {
  const subject = useSignal('')
  const asked = subject.value.trim()
  const words = useAdminTexts()
  const loaded = useLoaded<{ rows: Row[]; more: boolean }>(`v1/admin/audit?newest=true&limit=${mostListed}${asked === '' ? '' : `&subject=${encodeURIComponent(asked)}`}`)
  const texts = words.value.value?.texts
  return (
    <>
      <input type="search" aria-label={t('auditSubject')} placeholder={t('auditSubject')} autocomplete="off" value={subject.value} onInput={(event) => (subject.value = event.currentTarget.value)} />
      <Waiting of={loaded} />
      <ul class="items audit">{(texts || words.problem.value) && loaded.value.value?.rows.map((row) => <Done key={row.id} row={row} texts={texts} />)}</ul>
    </>
  )
}

/** A row of the audit: a sentence, and below it the rest, with the action by which the command line and the API find it. */
function Done({ row, texts }: { row: Row; texts: AdminTexts | undefined }) {
  const sentence = texts?.actions[row.action] ?? '{subject} {room}'
  const named: Record<string, ComponentChildren> = { '{subject}': <bdi>{row.subject || '–'}</bdi>, '{room}': <bdi>{row.room && `#${row.room}`}</bdi> }
  const rest = [
    !sentence.includes('{subject}') && row.subject !== row.username && row.subject,
    row.detail,
    row.address,
  ].filter(Boolean)
  return (
    <li class="item">
      <div class="item-text">
        <span>
          <strong>
            <bdi>{row.username ?? (row.count ? texts?.somebody : texts?.operator) ?? '–'}</bdi>
          </strong>{' '}
          {sentence.split(/(\{\w+\})/).map((part) => named[part] ?? part)}
          {row.count !== undefined && row.count > 1 && ` × ${row.count}`}
        </span>
        <span class="quiet">
          <time dateTime={row.time} title={fullTimeOf(row.time)}>
            {momentOf(row.time)}
          </time>
          {' · '}
          <code>{row.action}</code>
          {rest.map((text) => ` · ${text}`)}
        </span>
      </div>
    </li>
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
  const words = useAdminTexts()
  const texts = words.value.value?.texts
  return (
    <>
      <Waiting of={loaded} />
      {(texts || words.problem.value) &&
        loaded.value.value?.settings.map((setting) => (
          <OneSetting key={[setting.key, setting.value, setting.operator].join(' ')} setting={setting} about={texts?.settings[setting.key]} reload={loaded.reload} />
        ))}
    </>
  )
}

/** The settings that have a few values, with a text for each. */
const choices: Record<string, Record<string, keyof Texts>> = {
  access: { open: 'accessOpen', signup: 'accessSignup', invite: 'accessInvite', closed: 'accessClosed' },
  create_rooms: { member: 'setMembers', admin: 'setAdmins' },
  invite_members: { member: 'setMembers', admin: 'setAdmins' },
  'oidc.link_by_email': { true: 'setYes', false: 'setNo' },
  'oidc.create': { true: 'setYes', false: 'setNo' },
}

function OneSetting({ setting, about, reload }: { setting: Setting; about: About | undefined; reload(): Promise<void> }) {
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
  const values = choices[setting.key]
  return (
    <form class="beside" onSubmit={sending.submit}>
      <div class="field">
        <label for={id}>{about?.label ?? <code>{setting.key}</code>}</label>
        {values ? (
          <select id={id} disabled={!mine} value={value.value} aria-describedby={`${id}-help`} onChange={(event) => (value.value = event.currentTarget.value)}>
            {Object.entries(values).map(([key, label]) => (
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
        {about?.help ?? setting.help}{' '}
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
