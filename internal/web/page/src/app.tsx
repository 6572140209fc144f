// The page: a form for whoever comes in, or the rooms, the conversation and the
// members; and the keyboard shortcuts.

import { useEffect, useLayoutEffect } from 'preact/hooks'
import { filesIn, filesPart } from './attached'
import { density } from './appearance'
import { Claim } from './claim'
import { Composer } from './composer'
import { Device } from './device'
import { Dialogs } from './dialogs'
import { becomeMember, closeDialog, comeBack, closeDrawer, closePanel, focusInput, makeRoom, openDialog, openPanel, openSearch, visit } from './focus'
import { besideOf, Head } from './head'
import { jumpToNewest } from './history'
import { may } from './rights'
import { Invited } from './invited'
import { MessageList } from './list'
import { Join, SignUp, Starting } from './signin'
import { MemberList } from './members'
import { SidePanel } from './panel'
import { ordered, RoomList } from './sidebar'
import { account, covered, current, dialog, drawer, factsOf, makesRooms, notice, panel, room, rooms, screen, spoken, waysTaken, type Room } from './state'
import { State } from './states'
import { language, t } from './texts'

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
      return <Invited key={waysTaken.value} />
    case 'claim':
      return <Claim key={waysTaken.value} />
    case 'device':
      return <Device key={waysTaken.value} />
    default:
      return <Starting />
  }
}

function Chat() {
  useKeys()
  const shown = room.value
  const besidePanel = panel.value !== undefined && shown !== undefined && !shown.doubt.value
  return (
    <div class={besidePanel ? 'chat with-panel without-members' : shown && besideOf(shown).value && !shown.doubt.value ? 'chat' : 'chat without-members'}>
      <a class="skip" href="#input" onClick={(event) => {
        event.preventDefault()
        document.getElementById('input')?.focus()
      }}>
        {t('write', { room: shown?.title.value ?? current.value })}
      </a>
      <RoomList />
      <main class="main" inert={besidePanel && covered.value}>
        <Head />
        {shown?.doubt.value === 'missing' ? <Missing room={shown} /> : shown?.doubt.value === 'closed' ? <Closed room={shown} /> : shown && <MessageList key={`${shown.name} ${density.value}`} room={shown} />}
        <State />
        {shown && shown.doubt.value !== 'missing' && shown.doubt.value !== 'closed' && (may('send', factsOf(shown)) || shown.doubt.value ? <Composer field={shown} /> : <Instead room={shown} />)}
        {shown && <Typists room={shown} />}
      </main>
      {besidePanel && <SidePanel room={shown} panel={panel.value!} />}
      {shown && !shown.doubt.value && <MemberList room={shown} />}
      {drawer.value && <button type="button" class="shade" tabIndex={-1} aria-label={t('close')} onClick={closeDrawer} />}
      <Spoken />
      <Dialogs />
      <Showing />
    </div>
  )
}

/** The picture that is shown large. */
function Showing() {
  const Lightbox = filesPart(false)?.Lightbox
  return Lightbox ? <Lightbox /> : null
}

/** What stands in the place of the field in a room where the user may not write. */
function Instead({ room }: { room: Room }) {
  const flags = room.flags.value
  if (!room.member.value && may('join', factsOf(room))) {
    return (
      <div class="instead">
        <p>{t('outside', { room: room.title.value })}</p>
        <button type="button" class="primary" id="input" onClick={() => becomeMember(room)}>
          {t('joinRoom')}
        </button>
      </div>
    )
  }
  return (
    <div class="instead">
      <p class="quiet" id="input" tabIndex={-1}>
        {t(flags.includes('archived') ? 'archivedText' : 'announceText')}
      </p>
    </div>
  )
}

/** Shown when the user was removed from the only room. */
function Closed({ room }: { room: Room }) {
  return (
    <div class="missing">
      <h2>{t('closed', { room: room.title.value })}</h2>
      <p class="choices">
        <button type="button" class="secondary" onClick={() => comeBack(room)}>
          {t('joinRoom')}
        </button>
      </p>
    </div>
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
        {makesRooms.value && !room.name.startsWith('@') && (
          <button type="button" class="primary" onClick={() => (account.value ? openDialog('create', room.name) : makeRoom(room))}>
            {t('makeRoom', { room: room.name })}
          </button>
        )}
        <button type="button" class="secondary" onClick={() => visit({ room: other }, 'replace', true)}>
          {t('goBack', { room: other })}
        </button>
      </p>
    </div>
  )
}

/** How many of those that are typing have names. */
const namedTypists = 3

/** Who is typing, in the space below the field, so that nothing moves. Screen readers find it and do not announce it. */
function Typists({ room }: { room: Room }) {
  const names = room.typing.value
  if (names.length === 0 || !room.joined.value) return null
  const last = names[names.length - 1]!
  return (
    <p class="typing" id="typing" aria-live="off">
      {names.length > namedTypists
        ? t('typingMany')
        : names.length > 1
          ? t('typingSome', { names: names.slice(0, -1).join(', '), last })
          : t('typingOne', { name: last })}
    </p>
  )
}

/** Reads new messages out to screen readers; the list itself changes with every scroll. */
function Spoken() {
  return (
    <div class="hidden" role="log" aria-live="polite" aria-relevant="additions" id="spoken">
      {spoken.value.map((m) => (
        <p key={m.seq}>{t('said', { name: m.username, content: (m.content || filesIn(m.files)).slice(0, 300) })}</p>
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
      } else if (event.altKey && !command && !event.shiftKey && event.code === 'KeyU') {
        if (!account.value) return
        if (panel.value?.kind === 'inbox') closePanel()
        else openPanel({ kind: 'inbox' })
      } else if (event.altKey && !command && event.key === 'End') {
        if (room.value) void jumpToNewest(room.value)
      } else if (event.key === 'End' && !field && document.activeElement?.id === 'messages') {
        if (room.value) void jumpToNewest(room.value)
      } else if (event.key === '?' && !command && (!field || emptyInput(event.target))) {
        openDialog('keys')
      } else if (event.key === 'Escape') {
        if (drawer.value) closeDrawer()
        else if (panel.value) closePanel()
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

