// The rooms on the left, the members on the right.

import { computed } from '@preact/signals'
import { closeDrawer, openDialog, visit } from './focus'
import { Avatar, nickClass } from './nick'
import { pathOf } from './route'
import { part } from './rooms'
import { drawer, rooms, username, type Room } from './state'
import { Cross, Gear, Keyboard, Plus } from './symbols'
import { count, t } from './texts'

/** More members than this are counted, not listed. */
const mostShown = 300

export function RoomList() {
  return (
    <nav class={drawer.value === 'rooms' ? 'side rooms-side open' : 'side rooms-side'} aria-label={t('roomsNav')} id="rooms">
      <div class="side-head">
        <span class="brand">
          <span class="logo" aria-hidden="true" />
          Kaban
        </span>
        <button type="button" class="icon narrow-only" aria-label={t('closePanel')} onClick={closeDrawer}>
          <Cross />
        </button>
      </div>
      <button type="button" class="find" onClick={() => openDialog('switcher')} aria-keyshortcuts="Control+K">
        <span>{t('findRoom')}</span>
        <kbd>{/Mac|iPhone|iPad/.test(navigator.platform) ? '⌘K' : 'Ctrl K'}</kbd>
      </button>
      <div class="side-title">
        <h2>{t('rooms')}</h2>
        <button type="button" class="icon" aria-label={t('addRoom')} title={t('addRoom')} onClick={() => openDialog('switcher')}>
          <Plus />
        </button>
      </div>
      <ul class="room-list">
        {rooms.value.map((room) => (
          <RoomLink key={room.name} room={room} />
        ))}
      </ul>
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
        <button type="button" class="icon not-wide" aria-label={t('closePanel')} onClick={closeDrawer}>
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
        {others > 0 && <li class="quiet">{t('moreMembers', { count: others })}</li>}
      </ul>
    </aside>
  )
}
