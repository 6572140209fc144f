// The audit, and the settings of the server.

import { useSignal } from '@preact/signals'
import type { ComponentChildren } from 'preact'
import { a, adminTexts, deletesText } from './admintexts'
import { Age, retentions } from './age'
import { APIError, call, mostListed, path, search } from './api'
import { Failure, Saved, useSending } from './form'
import { Confirm, Doing, useLoaded, Waiting } from './listing'
import { deletedBy } from './retention'
import { atLeast } from './rights'
import { account } from './state'
import { fullTimeOf, momentOf, t } from './texts'

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

interface Rows {
  rows: Row[]
}

/** Reads pages until there are as many rows as are listed: a page that is searched may be short. */
async function findRows(list: string, late: () => boolean): Promise<Rows> {
  const found: Rows = { rows: [] }
  await search<Rows & { after?: string }>(list, ({ rows }) => {
    found.rows.push(...rows)
    return !late() && found.rows.length < mostListed
  })
  return found
}

/** The audit, the newest first, of which each field shows a part. */
export function Audit() {
  const wanted = useSignal<Record<string, string>>({})
  const asked = new URLSearchParams({ newest: 'true', limit: String(mostListed) })
  for (const [field, value] of Object.entries(wanted.value)) if (value.trim() !== '') asked.set(field, value.trim())
  const loaded = useLoaded(`v1/admin/audit?${asked}`, findRows)
  const field = (name: string, label: string) => ({
    name,
    'aria-label': label,
    value: wanted.value[name] ?? '',
    onInput: (event: { currentTarget: HTMLInputElement | HTMLSelectElement }) => (wanted.value = { ...wanted.peek(), [name]: event.currentTarget.value }),
  })
  const person = (name: string, label: string) => <input type="search" autocomplete="off" placeholder={label} {...field(name, label)} />
  return (
    <>
      <div class="filters">
        {person('actor', a('auditActor'))}
        {person('subject', a('auditSubject'))}
        <select {...field('action', a('auditAction'))}>
          <option value="">{a('auditAll')}</option>
          {Object.entries(adminTexts().actions).map(([action, sentence]) => (
            <option key={action} value={action}>
              {sentence.replace(/\{\w+\}/g, '…')}
            </option>
          ))}
        </select>
      </div>
      <Waiting of={loaded} empty={a('auditNone')} />
      <ul class="items audit">{loaded.value.value?.rows.map((row) => <Done key={row.id} row={row} />)}</ul>
    </>
  )
}

/** A row of the audit: a sentence, and below it the rest, with the action by which the command line and the API find it. */
function Done({ row }: { row: Row }) {
  const { operator, somebody, actions } = adminTexts()
  // A newer server may have others.
  const sentence = actions[row.action] ?? '{subject} {room}'
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
            <bdi>{row.username ?? (row.count ? somebody : operator)}</bdi>
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

/** Each part of the settings has a form; the prefix says which are in it. */
const signOn = 'oidc.'

export function ServerSettings() {
  const loaded = useLoaded<{ settings: Setting[] }>('v1/admin/settings')
  const all = loaded.value.value?.settings
  return (
    <>
      <Waiting of={loaded} />
      {all && (
        <>
          <SettingsForm settings={all.filter((s) => !s.key.startsWith(signOn))} reload={loaded.reload} />
          <h3>{adminTexts().signOn}</h3>
          <SettingsForm settings={all.filter((s) => s.key.startsWith(signOn))} reload={loaded.reload} />
        </>
      )}
    </>
  )
}

/** The values of a setting that has only a few, with a text for each. */
function choicesOf(key: string): Record<string, string> | undefined {
  switch (key) {
    case 'access':
      return { open: a('accessOpen'), signup: a('accessSignup'), invite: a('accessInvite'), closed: a('accessClosed') }
    case 'create_rooms':
    case 'invite_members':
      return { member: a('setMembers'), admin: a('setAdmins') }
    case 'previews':
      return { on: a('setYes'), off: a('setNo') }
    case 'oidc.link_by_email':
    case 'oidc.create':
      return { true: a('setYes'), false: a('setNo') }
  }
  return undefined
}

/** The usual values of a setting that is a length of time. */
function usualOf(key: string): Record<string, string> | undefined {
  if (key === 'retention') return retentions()
  return key === 'oidc.max_age' ? { '12h': '', '1d': '', '7d': '', '30d': '' } : undefined
}

async function put(key: string, value: string): Promise<void> {
  try {
    await call('PUT', `v1/admin/settings/${path(key)}`, { value })
  } catch (error) {
    // The error stands below the label, which says what it is about.
    if (error instanceof APIError) throw new APIError({ ...error.problem, message: error.problem.message.replace(`${key}: `, '') }, error.status)
    throw error
  }
}

/** A newer server may have others, with its own words. */
const aboutOf = ({ key }: Setting) => adminTexts().settings[key]
const idOf = ({ key }: Setting) => `setting-${key}`
/** Others may look, and only owners change them. */
const changes = (setting: Setting) => atLeast(account.value, 'owner') && setting.operator !== true

interface FormProps {
  settings: Setting[]
  reload(): Promise<void>
}

/** Settings one below the other. The button at the end saves what was changed. */
function SettingsForm({ settings, reload }: FormProps) {
  const written = useSignal<Record<string, string>>({})
  const saved = useSignal(false)
  /** The setting whose value was refused. */
  const refused = useSignal('')
  // How many messages the retention would delete, once the owner was told; a second press does it.
  const deletes = useSignal<number | undefined>(undefined)
  const sending = useSending(async () => {
    const retention = written.peek().retention
    if (retention !== undefined && deletes.peek() === undefined) {
      refused.value = 'retention'
      deletes.value = await deletedBy(retention)
      if (deletes.peek() !== undefined) return
    }
    for (const [key, value] of Object.entries(written.peek())) {
      refused.value = key
      await put(key, value)
    }
    await reload()
    written.value = {}
    deletes.value = undefined
    saved.value = true
  })
  const write = ({ key, value: before }: Setting, value: string) => {
    const { [key]: _, ...others } = written.peek()
    written.value = value === before ? others : { ...others, [key]: value }
    saved.value = false
    deletes.value = undefined
  }
  return (
    <form class="fields settings" onSubmit={sending.submit}>
      {settings.map((setting) => (
        <div class="field" key={setting.key}>
          <label for={idOf(setting)}>{aboutOf(setting)?.label ?? <code>{setting.key}</code>}</label>
          <Value setting={setting} value={written.value[setting.key] ?? setting.value} write={(value) => write(setting, value)} />
          {sending.problem.value && refused.value === setting.key && <Failure sending={sending} />}
          <Help setting={setting} reload={reload} />
        </div>
      ))}
      {deletes.value !== undefined && <p role="alert">{deletesText(deletes.value)}</p>}
      <Confirm sending={sending} />
      {settings.some(changes) && (
        <div class="choices">
          <button type="submit" class="primary" disabled={Object.keys(written.value).length === 0 || sending.busy.value}>
            {deletes.value === undefined ? t('save') : a('retentionDelete')}
          </button>
          <Saved when={saved.value} />
        </div>
      )}
    </form>
  )
}

interface ValueProps {
  setting: Setting
  value: string
  write(value: string): void
}

/** Nothing is saved before the button is pressed: an arrow key passes values on its way to the one that is meant. */
function Value({ setting, value, write }: ValueProps) {
  const about = { id: idOf(setting), 'aria-describedby': `${idOf(setting)}-help`, value }
  const usual = usualOf(setting.key)
  if (usual) return <Age id={about.id} usual={usual} value={value || setting.default} readOnly={!changes(setting)} write={write} />
  const values = choicesOf(setting.key)
  if (!values) {
    return <input {...about} type="text" autocomplete="off" autocapitalize="off" spellcheck={false} readOnly={!changes(setting)} placeholder={setting.default} onInput={(event) => write(event.currentTarget.value)} />
  }
  return (
    <select {...about} disabled={!changes(setting)} onChange={(event) => write(event.currentTarget.value)}>
      {Object.entries(values).map(([key, label]) => (
        <option key={key} value={key}>
          {label}
        </option>
      ))}
    </select>
  )
}

/** What a setting is for. What only the operator sets, owners may take away. */
function Help({ setting, reload }: { setting: Setting; reload(): Promise<void> }) {
  const operators = atLeast(account.value, 'owner') && !changes(setting)
  return (
    <>
      <p class="quiet help" id={`${idOf(setting)}-help`}>
        {aboutOf(setting)?.help ?? setting.help}{' '}
        {operators && (
          <>
            {a('setOnServer')} <code>kaban settings set {setting.key} …</code>
          </>
        )}
      </p>
      {operators && setting.value !== '' && <Doing label={t('remove')} harsh does={() => put(setting.key, '')} done={reload} />}
    </>
  )
}
