// The rooms on the left.

import { computed, type ReadonlySignal } from '@preact/signals'
import type { ComponentChildren } from 'preact'
import { closeDrawer, openDialog, openPanel, visit } from './focus'
import { Sign } from './sign'
import { Avatar } from './nick'
import { quietNow } from './quiet'
import { pathOf } from './route'
import { preference } from './preference'
import { part } from './rooms'
import { atLeast } from './rights'
import { account, drawer, mentionsTotal, panel, rooms, username, type Room } from './state'
import { ChevronRight, Cross, Gear, Inbox as InboxSymbol, Keyboard, Muted, Plus } from './symbols'
import { count, t } from './texts'

const starredNames = preference('starred', [])
const closedNames = preference('closed', [])
export const starred = computed(() => new Set(starredNames.value))
const closed = computed(() => new Set(closedNames.value))

function toggled(names: string[], name: string, on: boolean): string[] {
  const others = names.filter((n) => n !== name)
  return on ? [...others, name] : others
}

/** Puts a room above the others, or back among them. */
export function star(name: string, on: boolean): void {
  starredNames.value = toggled(starredNames.value, name, on)
}

const starredRooms = computed(() => rooms.value.filter((r) => starred.value.has(r.name)))
const otherRooms = computed(() => rooms.value.filter((r) => !starred.value.has(r.name) && r.kind.value !== 'direct'))
const directRooms = computed(() => rooms.value.filter((r) => !starred.value.has(r.name) && r.kind.value === 'direct'))
/** The rooms in the order of the list. */
export const ordered = computed(() => [...starredRooms.value, ...otherRooms.value, ...directRooms.value])

export function RoomList() {
  return (
    <nav class={drawer.value === 'rooms' ? 'side rooms-side open' : 'side rooms-side'} aria-label={t('rooms')} id="rooms">
      <div class="side-head">
        <span class="brand">
          <span class="logo" aria-hidden="true" />
          Kaban
        </span>
        <button type="button" class="icon narrow-only" aria-label={t('close')} onClick={closeDrawer}>
          <Cross />
        </button>
      </div>
      <button type="button" class="find" onClick={() => openDialog('switcher')} aria-keyshortcuts="Control+K">
        <span>{t('findRoom')}</span>
        <kbd>{/Mac|iPhone|iPad/.test(navigator.platform) ? '⌘K' : 'Ctrl K'}</kbd>
      </button>
      {account.value && <CatchUpButton />}
      <div class="room-list">
        {starredRooms.value.length > 0 && <Section name="starred" title={t('starred')} rooms={starredRooms} />}
        <Section name="rooms" title={t('rooms')} rooms={otherRooms}>
          <button type="button" class="icon" aria-label={t('addRoom')} title={t('addRoom')} onClick={() => openDialog(atLeast(account.value, 'member') ? 'create' : 'switcher')}>
            <Plus />
          </button>
        </Section>
        {account.value && (
          <Section name="direct" title={t('direct')} rooms={directRooms}>
            <button type="button" class="icon" aria-label={t('writeTo')} title={t('writeTo')} onClick={() => openDialog('direct')}>
              <Plus />
            </button>
          </Section>
        )}
      </div>
      <div class="me">
        <Avatar username={username.value} small />
        <bdi class="me-name" title={username.value}>
          {account.value?.name || username.value}
        </bdi>
        {quietNow.value && (
          <button type="button" class="icon" aria-label={t('quietNow')} title={t('quietNow')} onClick={() => openDialog('settings', 'notifications')}>
            <Muted />
          </button>
        )}
        <button type="button" class="icon" aria-label={t('keys')} title={`${t('keys')} (?)`} onClick={() => openDialog('keys')}>
          <Keyboard />
        </button>
        <button type="button" class="icon" aria-label={t('settings')} title={t('settings')} onClick={() => openDialog('settings')}>
          <Gear />
        </button>
      </div>
    </nav>
  )
}

/** Opens what has happened since the user was here. */
function CatchUpButton() {
  const mentioned = mentionsTotal.value
  return (
    <button type="button" class={mentioned > 0 ? 'catch-up news' : 'catch-up'} aria-expanded={panel.value?.kind === 'inbox'} aria-keyshortcuts="Alt+U" title={`${t('catchUp')} (Alt U)`} onClick={() => openPanel({ kind: 'inbox' })}>
      <InboxSymbol />
      <span class="room-name">{t('catchUp')}</span>
      {mentioned > 0 && (
        <span class="count mention-count">
          <span aria-hidden="true">@{short(mentioned)}</span>
          <span class="hidden">{count('unreadMentions', mentioned)}</span>
        </span>
      )}
    </button>
  )
}

/** Rooms under a title that opens and closes. A closed section shows only unread rooms and the current one. */
function Section({ name, title, rooms, children }: { name: string; title: string; rooms: ReadonlySignal<Room[]>; children?: ComponentChildren }) {
  const open = !closed.value.has(name)
  const shown = open ? rooms.value : rooms.value.filter((r) => r.here.value || r.news.value || r.badge.value > 0)
  return (
    <section class="section">
      <div class="side-title">
        <h2>
          <button type="button" class={open ? 'fold open' : 'fold'} aria-expanded={open} onClick={() => (closedNames.value = toggled(closedNames.value, name, open))}>
            <ChevronRight />
            {title}
          </button>
        </h2>
        {children}
      </div>
      <ul>
        {shown.map((room) => (
          <RoomLink key={room.name} room={room} />
        ))}
      </ul>
    </section>
  )
}

const short = (n: number) => (n > 999 ? '999+' : n)

/** The last room cannot be left. */
const several = computed(() => rooms.value.length > 1)

function RoomLink({ room }: { room: Room }) {
  const here = room.here.value
  const unread = room.unread.value
  const mentioned = room.mentions.value
  const label = t(room.kind.value === 'direct' ? 'hideDirect' : 'leaveRoom', { room: room.title.value })
  const drafted = !here && room.drafted.value
  return (
    <li class={['room', here && 'here', room.news.value && 'news', room.notify.value === 'none' && 'muted'].filter(Boolean).join(' ')}>
      <a
        href={pathOf({ room: room.name })}
        aria-current={here ? 'page' : undefined}
        onClick={(event) => {
          if (event.ctrlKey || event.metaKey || event.shiftKey) return
          event.preventDefault()
          visit({ room: room.name })
        }}
      >
        <Sign room={room} />
        <bdi class="room-name">{room.title.value}</bdi>
        {drafted && <span class="drafted">{t('draft')}</span>}
        {room.notify.value === 'none' && <Muted />}
        {room.badge.value > 0 && (
          <span class={mentioned > 0 ? 'count mention-count' : 'count'} aria-hidden="true">
            {mentioned > 0 && '@'}
            {short(mentioned > 0 ? mentioned : room.badge.value)}
          </span>
        )}
        <span class="hidden">
          {room.news.value && unread > 0 && count('unread', unread)}
          {room.unreadFrom.value !== undefined && ` ${t('flagged')}`}
          {mentioned > 0 && ` ${count('unreadMentions', mentioned)}`}
          {room.notify.value === 'none' && ` ${t('muted')}`}
        </span>
      </a>
      {several.value && room.member.value && (
        <button type="button" class="icon leave" aria-label={label} title={label} onClick={() => (room.kind.peek() === 'private' ? openDialog('leave', room.name) : part(room))}>
          <Cross />
        </button>
      )}
    </li>
  )
}
