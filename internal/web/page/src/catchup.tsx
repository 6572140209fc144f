// Catching up: what mentions the user, and then the rooms with something new. One key reads an item and goes on.

import { computed, signal } from '@preact/signals'
import { useEffect } from 'preact/hooks'
import { marksOf } from './files'
import { lookAt, visit } from './focus'
import { excerpt } from './marks'
import { Avatar, nickClass } from './nick'
import type { Inbox, Mentioned } from './protocol'
import { markRead } from './reading'
import { pathOf, type Place } from './route'
import { walk } from './search'
import { ask } from './session'
import { Sign, Where } from './sign'
import { beside, byName, covered, find, mentionsTotal, rooms, status, type Room } from './state'
import { Inbox as InboxSymbol } from './symbols'
import { count, dayOf, fullTimeOf, t, timeOf } from './texts'

/** How many mentions are asked for. */
const pageSize = 50

/** What is listed: mentions that were unread when they came, and rooms that had something new. They stay when they are read. */
const mentions = signal<Mentioned[]>([])
const listed = signal<string[]>([])
const more = signal<number | undefined>(undefined)
const loading = signal(false)
const failed = signal(false)
/** The item that is shown in the room. */
const shownItem = signal('')

const newRooms = computed(() => rooms.value.filter((r) => r.member.value && r.news.value).map((r) => r.name))

const mentionKey = ({ room, seq }: Mentioned) => `${room}#${seq}`
const isReadMention = ({ room, seq }: Mentioned) => (byName.value.get(room)?.read.value ?? 0) >= seq

/** Loads the newest mentions, or those before them. */
async function load(before?: number): Promise<void> {
  if (loading.peek()) return
  loading.value = true
  try {
    const found = await ask<Inbox>({ type: 'inbox', limit: pageSize, ...(before === undefined ? {} : { before }) })
    const known = new Set(mentions.peek().map(mentionKey))
    const added = found.mentions.filter((m) => !known.has(mentionKey(m)))
    mentions.value = before === undefined ? [...added, ...mentions.peek()] : [...mentions.peek(), ...added]
    if (before !== undefined || mentions.peek().length === added.length) more.value = found.more ? found.next : undefined
    failed.value = false
  } catch {
    failed.value = true
  }
  loading.value = false
}

interface Item {
  key: string
  place: Place
  read: boolean
  /** Marks it as read. */
  end(): void
}

/** All items in their order. */
const items = computed((): Item[] => [
  ...mentions.value.map((m) => ({ key: mentionKey(m), place: { room: m.room, seq: m.seq }, read: isReadMention(m), end: () => readTo(m.room, m.seq) })),
  ...listed.value.flatMap((name) => {
    const room = byName.value.get(name)
    return room ? [{ key: name, place: { room: name }, read: !room.news.value, end: () => readTo(name, room.newest.peek()) }] : []
  }),
])

function readTo(name: string, seq: number): void {
  const room = find(name)
  if (room) markRead(room, seq)
}

const elementOf = (key: string) => document.querySelector<HTMLElement>(`.inbox [data-item="${CSS.escape(key)}"]`)

/** Reads the item with the focus, or else the one that is shown, and goes on to the next one that is not read. */
function readNext(): void {
  const focused = (document.activeElement as HTMLElement | null)?.dataset.item
  const at = items.peek().findIndex((i) => i.key === (focused ?? shownItem.peek()))
  items.peek()[at]?.end()
  const left = items.peek()
  const next = [...left.slice(at + 1), ...left.slice(0, Math.max(0, at))].find((i) => !i.read)
  if (next && beside.peek()) {
    shownItem.value = next.key
    lookAt(next.place, () => elementOf(next.key))
  } else document.getElementById('inbox')?.focus()
  if (next && !beside.peek()) elementOf(next.key)?.focus()
}

export function CatchUp() {
  const open = status.value === 'open'
  const total = mentionsTotal.value
  useEffect(() => {
    mentions.value = []
    listed.value = []
    shownItem.value = ''
  }, [])
  // Also those that have come meanwhile.
  useEffect(() => {
    if (open) void load()
  }, [open, total > mentions.peek().filter((m) => !isReadMention(m)).length])
  useEffect(() => {
    const added = newRooms.value.filter((name) => !listed.peek().includes(name))
    if (added.length > 0) listed.value = [...listed.peek(), ...added]
  })
  const all = items.value
  const left = all.filter((i) => !i.read).length
  return (
    <div class="inbox" id="inbox" role="region" aria-label={t('catchUp')} tabIndex={0} onKeyDown={onKeyDown}>
      {failed.value && (
        <p class="problem" role="alert">
          {t('inboxFailed')}{' '}
          <button type="button" class="plain" onClick={() => void load()}>
            {t('tryAgain')}
          </button>
        </p>
      )}
      {left > 0 && (
        <button type="button" class="primary with-symbol" title={t('readNextHelp')} aria-keyshortcuts="Space" onClick={readNext}>
          {t('readNext')} <kbd>{t('space')}</kbd>
        </button>
      )}
      {left === 0 && !loading.value && !failed.value && <Nothing />}
      {mentions.value.length > 0 && <h2>{t('mentionsTitle')}</h2>}
      <ul class="results">
        {mentions.value.map((m) => (
          <Mention key={mentionKey(m)} mention={m} />
        ))}
      </ul>
      {more.value !== undefined && (
        <button type="button" class="secondary" disabled={loading.value} onClick={() => void load(more.value)}>
          {t('moreMentions')}
        </button>
      )}
      {listed.value.length > 0 && <h2>{t('newIn')}</h2>}
      <ul class="results">
        {listed.value.map((name) => {
          const room = byName.value.get(name)
          return room && <RoomItem key={name} room={room} />
        })}
      </ul>
      {loading.value && all.length === 0 && <p class="quiet" role="status">{t('loading')}</p>}
    </div>
  )
}

function onKeyDown(event: KeyboardEvent): void {
  if (event.ctrlKey || event.metaKey || event.altKey) return
  const onButton = event.target instanceof HTMLButtonElement
  if (event.key === ' ' && !onButton && !event.shiftKey) readNext()
  else if (!walk(event, '.inbox .results a')) return
  event.preventDefault()
}

function Nothing() {
  return (
    <div class="nothing">
      <span class="nothing-symbol" aria-hidden="true">
        <InboxSymbol />
      </span>
      <p>
        <strong>{t('caughtUp')}</strong>
      </p>
      <p>{t('caughtUpText')}</p>
    </div>
  )
}

/** Goes to an item: beside the panel, or in its place. */
function go(event: MouseEvent, key: string, place: Place): void {
  if (event.ctrlKey || event.metaKey || event.shiftKey) return
  event.preventDefault()
  if (covered.peek()) return visit(place)
  shownItem.value = key
  lookAt(place, () => elementOf(key))
}

function classesOf(key: string, read: boolean): string {
  return [read && 'is-read', shownItem.value === key && 'is-shown'].filter(Boolean).join(' ')
}

function Mention({ mention }: { mention: Mentioned }) {
  const { room: name, seq, username: author, bot, time, cause } = mention
  const key = mentionKey(mention)
  const place = { room: name, seq }
  const read = isReadMention(mention)
  return (
    <li>
      <a class={classesOf(key, read)} data-item={key} href={pathOf(place)} title={fullTimeOf(time)} onClick={(event) => go(event, key, place)}>
        <span class="result-head">
          <Avatar username={author} small />
          <bdi class={`author ${nickClass(author)}`}>{author}</bdi>
          {bot && <span class="badge">{t('bot')}</span>}
          <Where name={name} />
          {cause !== 'name' && <span class="badge">{t(cause === 'here' ? 'mentionedHere' : 'mentionedEveryone')}</span>}
          {read && <span class="badge">{t('isRead')}</span>}
          <span class="quiet">
            {dayOf(time)}, {timeOf(time)}
          </span>
        </span>
        <span class="excerpt" dir="auto">
          {excerpt(mention)}
        </span>
        {marksOf(mention)}
      </a>
    </li>
  )
}

function RoomItem({ room }: { room: Room }) {
  const unread = room.unread.value
  const read = !room.news.value
  return (
    <li>
      <a class={`room-item ${classesOf(room.name, read)}`} data-item={room.name} href={pathOf({ room: room.name })} onClick={(event) => go(event, room.name, { room: room.name })}>
        <Sign room={room} />
        <bdi class="room-name">{room.title.value}</bdi>
        {read ? <span class="badge">{t('isRead')}</span> : <span class="quiet">{unread > 0 ? count('unread', unread) : t('flagged')}</span>}
      </a>
    </li>
  )
}
