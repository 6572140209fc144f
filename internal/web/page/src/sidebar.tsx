// The rooms on the left, the members on the right.

import { computed, type ReadonlySignal } from '@preact/signals'
import type { ComponentChildren } from 'preact'
import { closeDrawer, openDialog, visit } from './focus'
import { Avatar, nickClass } from './nick'
import { pathOf } from './route'
import { preference } from './preference'
import { part } from './rooms'
import { drawer, rooms, username, type Room } from './state'
import { ChevronRight, Cross, Gear, Keyboard, Plus } from './symbols'
import { count, t } from './texts'

/** More members than this are counted, not listed. */
const mostShown = 300

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
const otherRooms = computed(() => rooms.value.filter((r) => !starred.value.has(r.name)))
/** The rooms in the order of the list. */
export const ordered = computed(() => [...starredRooms.value, ...otherRooms.value])

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
      <div class="room-list">
        {starredRooms.value.length > 0 && <Section name="starred" title={t('starred')} rooms={starredRooms} />}
        <Section name="rooms" title={t('rooms')} rooms={otherRooms}>
          <button type="button" class="icon" aria-label={t('addRoom')} title={t('addRoom')} onClick={() => openDialog('switcher')}>
            <Plus />
          </button>
        </Section>
      </div>
      <div class="me">
        <Avatar username={username.value} small />
        <bdi class="me-name">{username.value}</bdi>
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

/** Rooms under a title that opens and closes. A closed section shows only unread rooms and the current one. */
function Section({ name, title, rooms, children }: { name: string; title: string; rooms: ReadonlySignal<Room[]>; children?: ComponentChildren }) {
  const open = !closed.value.has(name)
  const shown = open ? rooms.value : rooms.value.filter((r) => r.here.value || r.unread.value > 0)
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

/** The last room cannot be left. */
const several = computed(() => rooms.value.length > 1)

function RoomLink({ room }: { room: Room }) {
  const here = room.here.value
  const unread = room.unread.value
  const drafted = !here && room.drafted.value
  return (
    <li class={['room', here && 'here', unread > 0 && 'news'].filter(Boolean).join(' ')}>
      <a
        href={pathOf({ room: room.name })}
        aria-current={here ? 'page' : undefined}
        onClick={(event) => {
          if (event.ctrlKey || event.metaKey || event.shiftKey) return
          event.preventDefault()
          visit({ room: room.name })
        }}
      >
        <span class="hash" aria-hidden="true">
          #
        </span>
        <bdi class="room-name">{room.name}</bdi>
        {drafted && <span class="drafted">{t('draft')}</span>}
        {unread > 0 && (
          <span class={room.mentioned.value ? 'count mention-count' : 'count'}>
            <span aria-hidden="true">
              {room.mentioned.value && '@'}
              {unread > 999 ? '999+' : unread}
            </span>
            <span class="hidden">
              {count('unread', unread)}
              {room.mentioned.value && `, ${t('unreadMention')}`}
            </span>
          </span>
        )}
      </a>
      {several.value && (
        <button type="button" class="icon leave" aria-label={t('leaveRoom', { room: room.name })} title={t('leaveRoom', { room: room.name })} onClick={() => part(room)}>
          <Cross />
        </button>
      )}
    </li>
  )
}

export function MemberList({ room }: { room: Room }) {
  const names = room.members.value ?? []
  const shown = names.slice(0, mostShown)
  const others = Math.max(room.memberCount.value, names.length) - shown.length
  return (
    <aside class={drawer.value === 'members' ? 'side members-side open' : 'side members-side'} aria-label={t('members')} id="members">
      <div class="side-title">
        <h2>
          {t('members')} <span class="number">{Math.max(room.memberCount.value, names.length)}</span>
        </h2>
        <button type="button" class="icon not-wide" aria-label={t('close')} onClick={closeDrawer}>
          <Cross />
        </button>
      </div>
      <ul class="member-list" tabIndex={0} aria-label={t('members')}>
        {shown.map((name) => (
          <li key={name}>
            <Avatar username={name} small />
            <bdi class={`member ${nickClass(name)}`}>{name}</bdi>
            {name === username.value && <span class="quiet">{t('you')}</span>}
          </li>
        ))}
        {names.length === 1 && others === 0 && <li class="quiet alone">{t('alone')}</li>}
        {others > 0 && <li class="quiet">{t('moreMembers', { count: others })}</li>}
      </ul>
    </aside>
  )
}
