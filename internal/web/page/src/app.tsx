// The page: a form for whoever comes in, or the rooms, the conversation and the
// members; and the keyboard shortcuts.

import { signal } from '@preact/signals'
import { useEffect, useLayoutEffect } from 'preact/hooks'
import { density, membersBeside } from './appearance'
import { Claim } from './claim'
import { Composer } from './composer'
import { Device } from './device'
import { Dialogs } from './dialogs'
import { closeDialog, closeDrawer, closeSearch, focusInput, makeRoom, openDialog, openDrawer, openSearch, visit } from './focus'
import { jumpToNewest } from './history'
import { Invited } from './invited'
import { MessageList } from './list'
import { Avatar } from './nick'
import { pathOf } from './route'
import { SearchPanel } from './search'
import { Join, SignUp, Starting } from './signin'
import { MemberList, ordered, RoomList, star, starred } from './sidebar'
import { current, dialog, drawer, notice, room, rooms, screen, searching, spoken, unreadElsewhere, type Room } from './state'
import { State } from './states'
import { Link, Menu, People, Search, Star } from './symbols'
import { count, language, t } from './texts'
import { CopyButton } from './toolbar'

/** Whether the members fit beside the messages; the style sheet has the same number. */
const wideScreen = matchMedia('(min-width: 1081px)')
const wide = signal(wideScreen.matches)
wideScreen.addEventListener('change', () => (wide.value = wideScreen.matches))

export function App() {
  useEffect(() => {
    document.documentElement.lang = language.value
  }, [language.value])
  switch (screen.value) {
    case 'chat':
      return <Chat />
    case 'name':
      return <Join />
    case 'sign-up':
      return <SignUp />
    case 'sign-in':
    case 'invite':
      return <Invited />
    case 'claim':
      return <Claim />
    case 'device':
      return <Device />
    default:
      return <Starting />
  }
}

function Chat() {
  useKeys()
  const shown = room.value
  return (
    <div class={membersBeside.value && !shown?.doubt.value ? 'chat' : 'chat without-members'}>
      <a class="skip" href="#input" onClick={(event) => {
        event.preventDefault()
        document.getElementById('input')?.focus()
      }}>
        {t('write', { room: current.value })}
      </a>
      <RoomList />
      <main class="main">
        <header class="head">
          <button type="button" class="icon narrow-only" aria-label={t('openRooms')} aria-expanded={drawer.value === 'rooms'} aria-controls="rooms" onClick={() => openDrawer('rooms')}>
            <Menu />
            <OtherUnread />
          </button>
          <h1>
            <span class="hash" aria-hidden="true">
              #
            </span>
            <bdi>{current.value}</bdi>
          </h1>
          {shown && !shown.doubt.value && <StarButton room={shown} />}
          <span class="spacer" />
          {shown && !shown.doubt.value && <PeopleButton room={shown} />}
          {!shown?.doubt.value && (
            <CopyButton label={t('copyRoomLink')} text={() => location.origin + pathOf({ room: current.peek() })}>
              <Link />
            </CopyButton>
          )}
          {!shown?.doubt.value && (
            <button type="button" class="icon" aria-label={t('search')} title={t('search')} aria-expanded={searching.value} onClick={() => (searching.value ? closeSearch() : openSearch())}>
              <Search />
            </button>
          )}
        </header>
        {searching.value && shown && !shown.doubt.value && <SearchPanel key={shown.name} room={shown} />}
        {shown?.doubt.value === 'missing' ? <Missing room={shown} /> : shown && <MessageList key={`${shown.name} ${density.value}`} room={shown} />}
        <State />
        {shown && shown.doubt.value !== 'missing' && <Composer room={shown} />}
      </main>
      {shown && !shown.doubt.value && <MemberList room={shown} />}
      {drawer.value && <button type="button" class="shade" tabIndex={-1} aria-label={t('close')} onClick={closeDrawer} />}
      <Spoken />
      <Dialogs />
    </div>
  )
}

/** Puts the room above the others in the list. */
function StarButton({ room }: { room: Room }) {
  const on = starred.value.has(room.name)
  return (
    <button type="button" class={on ? 'icon star on' : 'icon star'} aria-pressed={on} aria-label={t('star')} title={t(on ? 'unstar' : 'star')} onClick={() => star(room.name, !on)}>
      <Star filled={on} />
    </button>
  )
}

/** How many avatars represent the members of a room. */
const faces = 3

/** Shows and hides the members: beside the messages on a wide screen, else above them. */
function PeopleButton({ room }: { room: Room }) {
  const names = room.members.value ?? []
  const n = room.memberCount.value
  const open = wide.value ? membersBeside.value : drawer.value === 'members'
  return (
    <button
      type="button"
      class="icon people"
      aria-label={`${t('openMembers')}: ${count('members', n)}`}
      title={count('members', n)}
      aria-expanded={open}
      aria-controls="members"
      onClick={() => {
        if (wide.value) membersBeside.value = !membersBeside.value
        else openDrawer('members')
      }}
    >
      <span class="faces" aria-hidden="true">
        {wide.value && names.slice(0, faces).map((name) => (
          <Avatar key={name} username={name} small />
        ))}
      </span>
      {(!wide.value || names.length === 0) && <People />}
      <span aria-hidden="true">{n}</span>
    </button>
  )
}

/** Shown when the address or a link names a room that does not exist. */
function Missing({ room }: { room: Room }) {
  const other = rooms.value.find((r) => r !== room)?.name ?? 'lobby'
  return (
    <div class="missing">
      <h2>{t('missing', { room: room.name })}</h2>
      <p class="quiet">{t('missingText')}</p>
      <p class="choices">
        <button type="button" class="primary" onClick={() => makeRoom(room)}>
          {t('makeRoom', { room: room.name })}
        </button>
        <button type="button" class="secondary" onClick={() => visit({ room: other }, 'replace', true)}>
          {t('goBack', { room: other })}
        </button>
      </p>
    </div>
  )
}

/** A dot on the button that opens the rooms: another room has unread messages. */
function OtherUnread() {
  return unreadElsewhere.value ? <span class="dot" /> : null
}

/** Reads new messages out to screen readers; the list itself changes with every scroll. */
function Spoken() {
  return (
    <div class="hidden" role="log" aria-live="polite" aria-relevant="additions" id="spoken">
      {spoken.value.map((m) => (
        <p key={m.seq}>{t('said', { name: m.username, content: m.content.slice(0, 300) })}</p>
      ))}
    </div>
  )
}

/** Keyboard shortcuts that work wherever the focus is. */
function useKeys() {
  // Before the page is painted: no key may be lost.
  useLayoutEffect(() => {
    const onKeyDown = (event: KeyboardEvent) => {
      if (event.isComposing) return
      const command = event.ctrlKey !== event.metaKey
      const field = event.target instanceof HTMLInputElement || event.target instanceof HTMLTextAreaElement || event.target instanceof HTMLSelectElement
      if (command && !event.shiftKey && !event.altKey && event.key.toLowerCase() === 'k') {
        if (dialog.value === 'switcher') closeDialog()
        else openDialog('switcher')
      } else if (command && !event.shiftKey && !event.altKey && event.key.toLowerCase() === 'f') {
        // The second time, the browser's own search opens.
        if (dialog.value || document.activeElement?.id === 'search') return
        openSearch()
      } else if (dialog.value) {
        // Before the browser does it, which reports it after the next key.
        if (event.key !== 'Escape') return
        closeDialog()
      } else if (event.altKey && !command && (event.key === 'ArrowUp' || event.key === 'ArrowDown')) {
        step(event.key === 'ArrowUp' ? -1 : 1, event.shiftKey)
      } else if (event.altKey && !command && event.key === 'End') {
        if (room.value) void jumpToNewest(room.value)
      } else if (event.key === 'End' && !field && document.activeElement?.id === 'messages') {
        if (room.value) void jumpToNewest(room.value)
      } else if (event.key === '?' && !command && (!field || emptyInput(event.target))) {
        openDialog('keys')
      } else if (event.key === 'Escape') {
        if (drawer.value) closeDrawer()
        else if (searching.value) closeSearch()
        else {
          notice.value = undefined
          focusInput()
        }
        return
      } else return
      event.preventDefault()
    }
    addEventListener('keydown', onKeyDown)
    return () => removeEventListener('keydown', onKeyDown)
  }, [])
}

function emptyInput(target: EventTarget | null): boolean {
  return target instanceof HTMLTextAreaElement && target.value === ''
}

/** Goes to the previous or next room in the list, or to the next one with unread messages. */
function step(by: number, unread: boolean): void {
  const all = ordered.value
  const here = all.findIndex((r) => r.name === current.value)
  for (let i = 1; i <= all.length; i++) {
    const next = all[(((here + by * i) % all.length) + all.length) % all.length]!
    if (unread && next.unread.value === 0) continue
    if (next.name !== current.value) visit({ room: next.name })
    return
  }
}

