// The people of the server, and what an admin may do to those below.

import { useSignal } from '@preact/signals'
import { a } from './admintexts'
import { call, mostListed, search, path } from './api'
import { Failure, Field, Submit, useSending } from './form'
import { LinkToCopy } from './link'
import { Confirm, Doing, useLoaded, Waiting } from './listing'
import { Avatar } from './nick'
import type { Account, Role } from './protocol'
import { above, atLeast } from './rights'
import { account } from './state'
import { t } from './texts'

interface Found {
  users: Account[]
  more: boolean
}

/** Finds people until there are as many as are listed. */
async function findPeople(list: string, late: () => boolean): Promise<Found> {
  const found: Found = { users: [], more: false }
  await search<Found & { after?: string }>(list, ({ users, more }) => {
    found.users.push(...users)
    found.more = more
    return !late() && found.users.length < mostListed
  })
  return found
}

export function People() {
  const query = useSignal('')
  const adding = useSignal(false)
  const asked = query.value.trim()
  const loaded = useLoaded(`v1/admin/users?limit=${mostListed}${asked === '' ? '' : `&query=${encodeURIComponent(asked)}`}`, findPeople)
  return (
    <>
      <div class="beside">
        <input type="search" aria-label={t('findPeople')} placeholder={t('findPeople')} autocomplete="off" value={query.value} onInput={(event) => (query.value = event.currentTarget.value)} />
        <button type="button" class="secondary" aria-expanded={adding.value} onClick={() => (adding.value = !adding.value)}>
          {a('addPerson')}
        </button>
      </div>
      {adding.value && <NewPerson done={loaded.reload} />}
      <Waiting of={loaded} />
      <ul class="items">
        {loaded.value.value?.users.map((person) => (
          <Person key={person.username} person={person} done={loaded.reload} />
        ))}
      </ul>
      {loaded.value.value?.more && <p class="quiet">{a('morePeople')}</p>}
    </>
  )
}

function Person({ person, done }: { person: Account; done(): Promise<void> }) {
  const open = useSignal(false)
  const link = useSignal<string | undefined>(undefined)
  const at = `v1/admin/users/${path(person.username)}`
  const mine = above(account.value, person.role) && person.username !== account.value?.username && person.status !== 'removed'
  const suspended = person.status === 'suspended'
  const inside = (
    <>
      <Avatar username={person.username} small />
      <span class="item-text">
        <strong>
          <bdi>{person.username}</bdi>
          {person.bot && <span class="badge">{t('bot')}</span>}
          {suspended && <span class="badge harsh">{t('suspended')}</span>}
          {person.status === 'removed' && <span class="badge">{a('removed')}</span>}
        </strong>
        {person.name && person.name !== person.username && <bdi class="quiet">{person.name}</bdi>}
      </span>
      <span class="quiet">{t(`role_${person.role}`)}</span>
    </>
  )
  if (!mine) return <li class="item person-row">{inside}</li>
  return (
    <li class="item open-item">
      <button type="button" class="person-row" aria-expanded={open.value} onClick={() => (open.value = !open.value)}>
        {inside}
      </button>
      {open.value && (
        <div class="item-open">
          <RoleOf person={person} done={done} />
          <p class="choices">
            {suspended ? <Doing label={a('restore')} does={() => call('POST', `${at}/restore`)} done={done} /> : <Doing label={a('suspend')} harsh does={() => call('POST', `${at}/suspend`, {})} done={done} />}
            {!person.bot && <Doing label={a('resetLink')} does={async () => (link.value = (await call<{ link: string }>('POST', `${at}/reset`)).link)} />}
            <Doing label={a('removeAccount')} harsh does={() => call('DELETE', at)} done={done} />
          </p>
          <p class="quiet">{a('suspendText')}</p>
          {link.value && <LinkToCopy link={link.value} label={a('resetText', { name: person.username })} />}
        </div>
      )}
    </li>
  )
}

/** The roles that the user may give. */
function rolesToGive(): Role[] {
  return (['guest', 'member', 'admin', 'owner'] as const).filter((role) => above(account.value, role))
}

function RoleOf({ person, done }: { person: Account; done(): Promise<void> }) {
  const role = useSignal(person.role)
  const sending = useSending(async () => {
    await call('PUT', `v1/admin/users/${path(person.username)}/role`, { role: role.peek() })
    await done()
  })
  return (
    <form class="in-line fields" onSubmit={sending.submit}>
      <label class="field">
        <span>{t('role')}</span>
        <select value={role.value} onChange={(event) => (role.value = event.currentTarget.value as Role)}>
          {rolesToGive().map((name) => (
            <option key={name} value={name}>
              {t(`role_${name}`)}
            </option>
          ))}
        </select>
      </label>
      <button type="submit" class="secondary" disabled={role.value === person.role || sending.busy.value}>
        {t('save')}
      </button>
      <Confirm sending={sending} />
      <Failure sending={sending} />
    </form>
  )
}

function NewPerson({ done }: { done(): Promise<void> }) {
  const name = useSignal('')
  const role = useSignal<Role>('member')
  const link = useSignal<string | undefined>(undefined)
  const made = useSignal('')
  const sending = useSending(async () => {
    const found = await call<{ link?: string }>('POST', 'v1/admin/users', { username: name.peek().trim(), role: role.peek() })
    link.value = found.link
    made.value = name.peek().trim()
    name.value = ''
    await done()
  })
  if (!atLeast(account.value, 'admin')) return null
  return (
    <form class="fields" onSubmit={sending.submit}>
      <Field name="username" label={t('username')} value={name} sending={sending} required autofocus autocomplete="off" />
      <label class="field">
        <span>{t('role')}</span>
        <select value={role.value} onChange={(event) => (role.value = event.currentTarget.value as Role)}>
          {rolesToGive().map((r) => (
            <option key={r} value={r}>
              {t(`role_${r}`)}
            </option>
          ))}
        </select>
      </label>
      <Confirm sending={sending} />
      <Failure sending={sending} fields={['username']} />
      <Submit sending={sending}>{a('addPerson')}</Submit>
      {link.value && <LinkToCopy link={link.value} label={a('resetText', { name: made.value })} />}
    </form>
  )
}
