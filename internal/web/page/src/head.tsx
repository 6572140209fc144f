// The header of a room: its name and topic, and buttons for what belongs to it.

import { signal } from '@preact/signals'
import { membersBeside, pairBeside } from './appearance'
import { closePanel, openDialog, openDrawer, openPanel, openSearch } from './focus'
import { Avatar } from './nick'
import { may } from './rights'
import { pathOf } from './route'
import { star, starred } from './sidebar'
import { Sign } from './sign'
import { account, current, drawer, factsOf, newsElsewhere, panel, room, type Room } from './state'
import { AddPerson, Link, Menu, More, People, Pin, Search, Star } from './symbols'
import { count, t } from './texts'
import { CopyButton } from './copy'

/** Whether the members fit beside the messages; the style sheet has the same number. */
const wideScreen = matchMedia('(min-width: 1081px)')
const wide = signal(wideScreen.matches)
/** Whether there is no room for what the dialog of the room has too. */
const narrowScreen = matchMedia('(max-width: 720px)')
const narrow = signal(narrowScreen.matches)
narrowScreen.addEventListener('change', () => (narrow.value = narrowScreen.matches))
wideScreen.addEventListener('change', () => (wide.value = wideScreen.matches))

export function Head() {
  const shown = room.value?.doubt.value ? undefined : room.value
  return (
    <header class="head">
      <button type="button" class="icon narrow-only" aria-label={t('openRooms')} aria-expanded={drawer.value === 'rooms'} aria-controls="rooms" onClick={() => openDrawer('rooms')}>
        <Menu />
        <OtherUnread />
      </button>
      <h1>
        {shown ? <Sign room={shown} /> : <span class="hash" aria-hidden="true">#</span>}
        <bdi>{shown?.title.value ?? current.value}</bdi>
      </h1>
      {shown && (!account.value || !narrow.value) && <StarButton room={shown} />}
      <span class="topic" title={shown?.topic.value} dir="auto">
        {shown?.topic.value}
      </span>
      {shown && !narrow.value && account.value && shown.kind.value !== 'direct' && may('invite', factsOf(shown)) && (
        <button type="button" class="icon" aria-label={t('invitePeople')} title={t('invitePeople')} onClick={() => openDialog('invite')}>
          <AddPerson />
        </button>
      )}
      {shown && <PeopleButton room={shown} />}
      {shown && !narrow.value && (
        <CopyButton label={t('copyRoomLink')} text={() => location.origin + pathOf({ room: current.peek() })}>
          <Link />
        </CopyButton>
      )}
      {shown && (!account.value || !narrow.value) && (
        <button type="button" class="icon" aria-label={t('pins')} title={t('pins')} aria-expanded={panel.value?.kind === 'pins'} onClick={() => (panel.value?.kind === 'pins' ? closePanel() : openPanel({ kind: 'pins' }))}>
          <Pin />
        </button>
      )}
      {shown && (
        <button type="button" class="icon" aria-label={t('search')} title={t('search')} aria-expanded={panel.value?.kind === 'search'} onClick={() => (panel.value?.kind === 'search' ? closePanel() : openSearch())}>
          <Search />
        </button>
      )}
      {shown && account.value && shown.member.value && (
        <button type="button" class="icon" aria-label={t('roomSettings')} title={t('roomSettings')} onClick={() => openDialog('room')}>
          <More />
        </button>
      )}
    </header>
  )
}

/** Puts the room above the others in the list. A wide one says so. */
export function StarButton({ room, wide }: { room: Room; wide?: boolean }) {
  const on = starred.value.has(room.name)
  return (
    <button type="button" class={`${wide ? 'secondary with-symbol' : 'icon'} star${on ? ' on' : ''}`} aria-pressed={on} aria-label={t('star')} title={t(on ? 'unstar' : 'star')} onClick={() => star(room.name, !on)}>
      <Star filled={on} />
      {wide && t('star')}
    </button>
  )
}

/** How many avatars represent the members of a room. */
const faces = 3

/** Whether the members of a room are shown beside its messages. */
export const besideOf = (room: Room) => (room.kind.value === 'direct' && room.memberCount.value < 3 ? pairBeside : membersBeside)

/** Shows and hides the members: beside the messages on a wide screen, else above them. */
function PeopleButton({ room }: { room: Room }) {
  const members = room.members.value ?? []
  const n = Math.max(room.memberCount.value, members.length)
  const beside = besideOf(room)
  const open = wide.value ? beside.value && !panel.value : drawer.value === 'members'
  return (
    <button
      type="button"
      class="icon people"
      aria-label={`${t('openMembers')}: ${count('members', n)}`}
      title={count('members', n)}
      aria-expanded={open}
      aria-controls="members"
      onClick={() => {
        if (wide.value && panel.value) closePanel()
        if (wide.value) beside.value = !open
        else openDrawer('members')
      }}
    >
      <span class="faces" aria-hidden="true">
        {wide.value && members.slice(0, faces).map((m) => <Avatar key={m.username} username={m.username} small />)}
      </span>
      {(!wide.value || members.length === 0) && <People />}
      <span aria-hidden="true">{n}</span>
    </button>
  )
}

/** A dot on the button that opens the rooms: another room has unread messages. */
function OtherUnread() {
  return newsElsewhere.value ? <span class="dot" /> : null
}
