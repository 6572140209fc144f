// Dialogs about rooms: creating one, its settings, leaving it.

import { useSignal } from '@preact/signals'
import { act } from './acts'
import { AdminPart } from './adminpart'
import { closeDialog, openDialog, openPanel, visit } from './focus'
import { Failure, Field, Options, Submit, useSending } from './form'
import { StarButton } from './head'
import { Modal } from './modal'
import type { Act, Created, Flag, Level } from './protocol'
import { Bans } from './restricted'
import { atLeast, may, mayCreate } from './rights'
import { part } from './rooms'
import { pathOf } from './route'
import { ask } from './session'
import { account, factsOf, find, limits, room as shown, server, subject, type Room } from './state'
import { AddPerson, Link, Pin } from './symbols'
import { t } from './texts'
import { CopyButton } from './copy'

export function CreateRoom() {
  const name = useSignal(subject.peek())
  const topic = useSignal('')
  const kinds = (['public', 'private'] as const).filter((k) => mayCreate(account.value?.role, k, server.value))
  const kind = useSignal<'public' | 'private'>(kinds[0] ?? 'private')
  const sending = useSending(async () => {
    const chosen = topic.peek().trim()
    const wanted = name.peek().trim().replace(/^#/, '').replace(/\s+/g, '-')
    const { room } = await ask<Created>({ type: 'create', room: wanted, kind: kind.peek(), ...(chosen === '' ? {} : { topic: chosen }) })
    visit({ room }, 'push', true)
  })
  return (
    <Modal title={t('createRoom')}>
      <form class="fields" onSubmit={sending.submit}>
        <Field name="room" label={t('roomName')} value={name} sending={sending} required autofocus autocomplete="off" help={t('roomNameHelp')} />
        <Options
          legend={t('roomKind')}
          name="kind"
          value={kind}
          options={kinds.map((k) => (k === 'public' ? [k, t('kindPublic'), t('kindPublicText')] : [k, t('kindPrivate'), t('kindPrivateText')]))}
        />
        <Field name="topic" label={t('topicOptional')} value={topic} sending={sending} autocomplete="off" maxLength={limits.value.topic ?? 512} />
        <Failure sending={sending} fields={['room', 'topic']} />
        <Submit sending={sending}>{t('createIt')}</Submit>
      </form>
    </Modal>
  )
}

export function RoomSettings() {
  const room = shown.value
  if (!room) return null
  const facts = factsOf(room)
  return (
    <Modal title={room.title.value}>
      <p class="choices">
        {room.kind.value !== 'direct' && may('invite', facts) && (
          <button type="button" class="secondary with-symbol" onClick={() => openDialog('invite')}>
            <AddPerson />
            {t('invitePeople')}
          </button>
        )}
        <StarButton wide room={room} />
        <button type="button" class="secondary with-symbol" onClick={() => openPanel({ kind: 'pins' })}>
          <Pin />
          {t('pins')}
        </button>
        <CopyButton wide label={t('copyRoomLink')} text={() => location.origin + pathOf({ room: room.name })}>
          <Link />
        </CopyButton>
      </p>
      {(may('topic', facts) || room.topic.value !== '') && <Topic room={room} />}
      <Notify room={room} />
      {may('flags', facts) && <Flags room={room} />}
      {may('history', facts) && <History room={room} />}
      {atLeast(account.value, 'owner') && room.kind.value !== 'direct' && <AdminPart name="Retention" key={room.name} room={room} />}
      {may('ban', facts) && <Bans room={room} />}
      <Changes room={room} />
    </Modal>
  )
}

function Topic({ room }: { room: Room }) {
  const topic = useSignal(room.topic.peek())
  const sending = useSending(async () => {
    await act(room, { type: 'topic', topic: topic.peek().trim() })
    closeDialog()
  })
  if (!may('topic', factsOf(room))) {
    return (
      <p class="field">
        <span>{t('topic')}</span>
        <span class="quiet">{room.topic.value}</span>
      </p>
    )
  }
  return (
    <form class="beside" onSubmit={sending.submit}>
      <Field name="topic" label={t('topic')} value={topic} sending={sending} autocomplete="off" maxLength={limits.value.topic ?? 512} />
      <button type="submit" class="secondary" disabled={topic.value.trim() === room.topic.value || sending.busy.value}>
        {t('save')}
      </button>
      <Failure sending={sending} fields={['topic']} />
    </form>
  )
}

function Notify({ room }: { room: Room }) {
  const sending = useSending(async () => undefined)
  const choose = async (level: Level) => {
    const before = room.notify.peek()
    room.notify.value = level
    try {
      await ask({ type: 'notify', room: room.name, level })
    } catch {
      room.notify.value = before
      sending.problem.value = { code: 'offline', message: '' }
    }
  }
  return (
    <>
      <Options
        legend={t('notifyHere')}
        name="level"
        value={{
          get value() {
            return room.notify.value
          },
          set value(level) {
            void choose(level)
          },
        }}
        options={[
          ['all', t('levelAll')],
          ['mentions', t('levelMentions')],
          ['none', t('levelNone')],
        ]}
      />
      <Failure sending={sending} />
    </>
  )
}

/** A setting that applies at once. */
function Switch({ room, label, text, on, what }: { room: Room; label: string; text: string; on: boolean; what(on: boolean): Act }) {
  const sending = useSending(() => act(room, what(!on)))
  return (
    <div class="options">
      <label class="option">
        <input type="checkbox" role="switch" checked={on} disabled={sending.busy.value} onChange={() => sending.submit()} />
        <span>
          {label}
          <span class="quiet">{text}</span>
        </span>
      </label>
      <Failure sending={sending} />
    </div>
  )
}

function Flags({ room }: { room: Room }) {
  const flags = room.flags.value.filter((f) => f !== 'archived')
  const toggled = (flag: Flag) => (on: boolean): Act => ({ type: 'set', flags: on ? [...flags, flag] : flags.filter((f) => f !== flag) })
  return (
    <>
      <Switch room={room} label={t('announce')} text={t('announceHelp')} on={flags.includes('announce')} what={toggled('announce')} />
      <Switch room={room} label={t('locked')} text={t('lockedHelp')} on={flags.includes('locked')} what={toggled('locked')} />
    </>
  )
}

function History({ room }: { room: Room }) {
  const wanted = useSignal<'all' | 'joined' | undefined>(undefined)
  const sending = useSending(() => act(room, { type: 'set', history: wanted.peek()! }))
  return (
    <>
      <Options<'all' | 'joined' | ''>
        legend={t('history')}
        name="history"
        value={{
          get value() {
            return room.history.value ?? ''
          },
          set value(history) {
            if (history === '') return
            wanted.value = history
            sending.submit()
          },
        }}
        options={[
          ['all', t('historyAll')],
          ['joined', t('historyJoined')],
        ]}
      />
      <Failure sending={sending} />
    </>
  )
}

/** What changes a room for good, or ends it. */
function Changes({ room }: { room: Room }) {
  const sure = useSignal(false)
  const facts = factsOf(room)
  const archived = room.flags.value.includes('archived')
  const close = useSending(async () => {
    await act(room, { type: 'set', kind: 'private' })
    sure.value = false
  })
  const archive = useSending(() => act(room, { type: 'set', archived: !archived }))
  return (
    <>
      <p class="choices">
        {may('private', facts) && !sure.value && (
          <button type="button" class="secondary" onClick={() => (sure.value = true)}>
            {t('makePrivate')}
          </button>
        )}
        {may(archived ? 'unarchive' : 'archive', facts) && (
          <button type="button" class="secondary" disabled={archive.busy.value} onClick={() => archive.submit()}>
            {t(archived ? 'unarchive' : 'archive')}
          </button>
        )}
      </p>
      {sure.value && (
        <div class="sure" role="alert">
          <p>{t('makePrivateSure')}</p>
          <button type="button" class="primary" disabled={close.busy.value} onClick={() => close.submit()}>
            {t('makePrivate')}
          </button>
        </div>
      )}
      <Failure sending={close} />
      <Failure sending={archive} />
    </>
  )
}

/** Asks before a private room is left, which nobody comes back to without an invitation. */
export function LeaveRoom() {
  const room = find(subject.value)
  if (!room) return null
  return (
    <Modal title={t('leaveRoom', { room: room.title.value })}>
      <p>{t('leaveSure')}</p>
      <p class="choices">
        <button
          type="button"
          class="primary"
          autofocus
          onClick={() => {
            closeDialog()
            part(room)
          }}
        >
          {t('leaveIt')}
        </button>
        <button type="button" class="secondary" onClick={closeDialog}>
          {t('cancel')}
        </button>
      </p>
    </Modal>
  )
}
