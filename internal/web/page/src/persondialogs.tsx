// Dialogs about people: writing to them, inviting them to a room, and what one may do
// to a member.

import { useSignal } from '@preact/signals'
import { act } from './acts'
import { call, path } from './api'
import { closeDialog, visit } from './focus'
import { Failure, Submit, useSending } from './form'
import { useLoaded } from './listing'
import { Modal } from './modal'
import { Avatar } from './nick'
import { PeoplePicker } from './picker'
import type { Act, Created, Member } from './protocol'
import { useRestricted } from './restricted'
import { may } from './rights'
import { ask } from './session'
import { account, factsOf, room as shown, subject, username, type Room } from './state'
import { t, untilOf } from './texts'
import type { Texts } from './texts.en'

/** A direct room has at most this many people, the user included. */
const mostInDirect = 8
/** The most people that are invited at once. */
const mostInvited = 50

async function openDirect(usernames: string[]): Promise<void> {
  const { room } = await ask<Created>({ type: 'direct', usernames })
  // The server knows that the account is in it.
  visit({ room }, 'push', true)
}

export function WriteTo() {
  const chosen = useSignal<string[]>([])
  const sending = useSending(async () => {
    if (chosen.peek().length > 0) await openDirect(chosen.peek())
  })
  return (
    <Modal title={t('writeTo')}>
      <form class="fields" onSubmit={sending.submit}>
        <PeoplePicker label={t('findPeople')} chosen={chosen} without={new Set()} most={mostInDirect - 1} />
        <Failure sending={sending} />
        <Submit sending={sending}>{t('startDirect')}</Submit>
      </form>
    </Modal>
  )
}

export function InvitePeople() {
  const chosen = useSignal<string[]>([])
  const room = shown.value
  const sending = useSending(async () => {
    for (const name of chosen.peek()) {
      await act(room!, { type: 'invite', username: name })
      chosen.value = chosen.value.filter((n) => n !== name)
    }
    closeDialog()
  })
  if (!room) return null
  return (
    <Modal title={t('inviteTo', { room: room.title.value })}>
      <form class="fields" onSubmit={sending.submit}>
        <PeoplePicker label={t('findPeople')} chosen={chosen} without={new Set(room.members.value?.map((m) => m.username))} most={mostInvited} />
        <Failure sending={sending} />
        <Submit sending={sending}>{t('inviteThem')}</Submit>
      </form>
    </Modal>
  )
}

interface Choice {
  label: keyof Texts
  what: (username: string) => Act
  /** It takes something away. */
  harsh?: boolean
}

/** A day, for a ban. Milliseconds. */
const aDay = 24 * 60 * 60 * 1000

/** What the user may do to a member of a room. */
function choicesFor(room: Room, member: Member, muted: boolean | undefined): Choice[] {
  const facts = factsOf(room)
  const self = member.username === username.value
  if (room.kind.value === 'direct') return []
  const choices: Choice[] = []
  if (self) {
    if (facts.role !== 'member' && !facts.flags.includes('archived')) choices.push({ label: 'stepDown', what: (username) => ({ type: 'role', username, role: 'member' }) })
    return choices
  }
  if (may('role', facts) && member.account) {
    if (member.role !== 'op') choices.push({ label: 'makeOp', what: (username) => ({ type: 'role', username, role: 'op' }) })
    if (member.role !== 'speaker') choices.push({ label: 'makeSpeaker', what: (username) => ({ type: 'role', username, role: 'speaker' }) })
    if (member.role !== 'member') choices.push({ label: 'makeMember', what: (username) => ({ type: 'role', username, role: 'member' }) })
  }
  if (may('mute', facts)) {
    if (muted !== true) choices.push({ label: 'mute', what: (username) => ({ type: 'mute', username }) })
    if (muted !== false) choices.push({ label: 'unmute', what: (username) => ({ type: 'unmute', username }) })
  }
  if (may('kick', facts)) choices.push({ label: 'kick', harsh: true, what: (username) => ({ type: 'kick', username }) })
  if (may('ban', facts)) {
    choices.push({ label: 'banDay', harsh: true, what: (username) => ({ type: 'ban', username, until_ms: Date.now() + aDay }) })
    choices.push({ label: 'ban', harsh: true, what: (username) => ({ type: 'ban', username }) })
  }
  return choices
}

export function MemberCard() {
  const room = shown.value
  const member = room?.members.value?.find((m) => m.username === subject.value)
  if (!room || !member) return <Modal title={subject.value}>{t('notHere')}</Modal>
  const self = member.username === username.value
  return (
    <Modal title={member.username}>
      <div class="person">
        <Avatar username={member.username} />
        <div>
          {member.name && member.name !== member.username && (
            <strong>
              <bdi>{member.name}</bdi>
            </strong>
          )}
          <p class="quiet">
            {t(member.account ? member.role : 'visitor')}
            {' · '}
            {t(!member.online ? 'offlineNow' : member.away ? 'awayNow' : 'onlineNow')}
          </p>
          {member.status && (
            <p class="status" dir="auto">
              {member.status}
              {member.until_ms !== undefined && <span class="quiet"> · {t('bannedUntil', { time: untilOf(member.until_ms) })}</span>}
            </p>
          )}
        </div>
      </div>
      {!self && member.account && <Meeting username={member.username} />}
      {self || !may('mute', factsOf(room)) ? <Actions room={room} member={member} /> : <OpActions room={room} member={member} />}
    </Modal>
  )
}

/** What anybody with an account may do. It is there at once, for the focus. */
function Meeting({ username: name }: { username: string }) {
  const sending = useSending(() => openDirect([name]))
  return (
    <>
      <p class="choices">
        <button type="button" class="primary" autofocus onClick={() => sending.submit()}>
          {t('writeToThem')}
        </button>
        {account.value && <BlockButton username={name} />}
      </p>
      <Failure sending={sending} />
    </>
  )
}

/** What an op may do, once it is known whether the member is muted. */
function OpActions({ room, member }: { room: Room; member: Member }) {
  const { value, problem } = useRestricted(room)
  const found = value.value
  if (!found && !problem.value) return <p class="quiet">{t('loading')}</p>
  // A visitor is listed by the folded name; if it cannot be known, both are offered.
  const one = found?.restricted.find((r) => r.username === member.username || (!member.account && r.username === member.username.toLowerCase()))
  return <Actions room={room} member={member} muted={one ? one.muted : found && !found.more ? false : undefined} />
}

function Actions({ room, member, muted }: { room: Room; member: Member; muted?: boolean | undefined }) {
  const doing = useSignal<() => Promise<void>>(async () => undefined)
  const sending = useSending(() => doing.peek()())
  const does = (what: () => Promise<void>) => () => {
    doing.value = what
    sending.submit()
  }
  const choices = choicesFor(room, member, muted)
  const sure = useSignal<keyof Texts | undefined>(undefined)
  return (
    <>
      {choices.length > 0 && (
        <ul class="actions" aria-label={t('inRoom', { room: room.title.value })}>
          {choices.map(({ label, what, harsh }) => (
            <li key={label}>
              <button
                type="button"
                class={harsh ? 'harsh' : undefined}
                disabled={sending.busy.value}
                onBlur={() => (sure.value = undefined)}
                onClick={() => {
                  if (harsh && sure.value !== label) sure.value = label
                  else
                    does(async () => {
                      await act(room, what(member.username))
                      closeDialog()
                    })()
                }}
              >
                {harsh && sure.value === label ? t('sure', { what: t(label) }) : t(label, { name: member.username })}
              </button>
            </li>
          ))}
        </ul>
      )}
      <Failure sending={sending} />
    </>
  )
}

/** Blocks a person, or takes that back: no direct messages, no rings. */
function BlockButton({ username }: { username: string }) {
  const { value, reload } = useLoaded<{ usernames: string[] }>('v1/blocks')
  const blocked = value.value?.usernames.includes(username)
  const sending = useSending(async () => {
    await call(blocked ? 'DELETE' : 'PUT', `v1/blocks/${path(username)}`)
    await reload()
  })
  return (
    <>
      <button type="button" class="secondary" disabled={sending.busy.value || blocked === undefined} onClick={() => sending.submit()}>
        {t(blocked ? 'unblock' : 'block')}
      </button>
      <Failure sending={sending} />
    </>
  )
}
