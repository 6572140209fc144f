// Starts and ends a visit, and routes events from the server to their modules.

import { batch } from '@preact/signals'
import { learnServer, learnSession } from './account'
import { call, problemOf, type Session } from './api'
import type { Status } from './connection'
import { deliver, receive, receiver } from './inbox'
import { loadMine, receiveNotifications, receiveParted, receiveState } from './mine'
import { loadDirectory, loadMembersAgain, receivePresence } from './names'
import { disown, discardAll, receiveAck, receiveError, settle } from './outbox'
import { isEntry, type Event, type Problem, type Refusal, type Welcome } from './protocol'
import { notifications } from './quiet'
import { announce, receiveEntry, saveReads, tellReads } from './reading'
import { enterRoom, forget, resync, show } from './rooms'
import * as route from './route'
import * as session from './session'
import * as state from './state'
import { Room } from './state'
import { forgetDrafts, keepSpot, load, save, takeSpot } from './storage'
import { restore } from './tabs'
import { turn } from './turn'
import { forgetTyping, receiveTyping, refuseTyping, typingRef } from './typing'

/** Whether the page is, or was before the server ended it, that of an account. */
let asAccount = load('account') === true

/** Starts with the rooms of the last visit and the place that the address names. */
export function start(): void {
  session.prepare({ status: changeStatus, welcome, event: receive, barred: (why) => (state.barred.value = why), refused, session: () => load('session') })
  receiver(take, announce)
  const names = load('rooms') ?? []
  if (names.length === 0) names.push('lobby')
  state.rooms.value = names.map((name) => new Room(name))
  restore()
  // A link with a secret: the same tab may be given another one.
  addEventListener('hashchange', () => {
    const way = route.takeWay()
    if (way && (way.secret !== '' || way.failure)) void outside(way)
  })
  addEventListener('popstate', () => {
    const to = route.read()
    if (to) show(to, 'none')
  })
  const look = () => {
    state.attentive.value = document.visibilityState === 'visible' && document.hasFocus()
  }
  for (const name of ['focus', 'blur', 'pageshow']) addEventListener(name, look)
  document.addEventListener('visibilitychange', () => {
    look()
    // A phone may end a hidden page without notice.
    if (document.visibilityState === 'hidden') saveReads()
  })
  addEventListener('pagehide', () => {
    saveReads()
    rememberSpot()
  })
  const way = route.takeWay()
  if (way) void outside(way)
  else come(names)
}

/** Goes to a page outside the rooms. */
async function outside(way: route.Way): Promise<void> {
  state.way.value = way
  state.waysTaken.value++
  await learnServer()
  if (way.screen === 'sign-in' && way.secret === '') {
    // Whoever is signed in already came to link an identity, to confirm the sign-in, or by mistake.
    const found = await learnSession().catch(() => undefined)
    if (found) signedIn(found)
    const failure = way.failure && { code: `${way.about ?? (found ? 'linking' : 'provider')}_${way.failure}`, message: way.failure }
    if (found && failure) state.notice.value = failure
    else if (failure) state.refusal.value = failure
    if (found) return
  }
  state.screen.value = way.screen
}

/** Comes in as at the last visit, or asks the server who may. */
function come(names: string[]): void {
  begin(names)
  if (state.username.value === '') void arrive()
  else {
    state.screen.value = 'chat'
    session.open(asAccount ? undefined : state.username.value)
  }
}

/** Asks the server who may come in, and whether the browser has a session. */
async function arrive(maybeSignedIn = true): Promise<void> {
  const server = await learnServer()
  const found = server && maybeSignedIn && (await learnSession().catch(() => undefined))
  if (found) signedIn(found)
  else state.screen.value = !server || server.visitors ? 'name' : 'sign-in'
}

/** Shows the place before a reload, else the one in the address, else the last room. */
function begin(names: string[]): void {
  const spot = takeSpot()
  const [entry] = performance.getEntriesByType('navigation') as PerformanceNavigationTiming[]
  if (spot && spot.path === location.pathname + location.hash && entry?.type !== 'navigate') {
    show({ ...route.read(), room: spot.room, seq: undefined }, 'none')
    const room = state.room.value
    if (room) {
      room.following = false
      room.anchor = { seq: spot.seq, offset: spot.offset }
    }
    return
  }
  const last = load('room')
  state.asked.value = route.read() !== undefined
  show(route.read() ?? { room: last !== undefined && names.includes(last) ? last : names[0]! }, 'replace')
}

function rememberSpot(): void {
  const room = state.room.value
  if (!room || room.following || !room.anchor) return
  keepSpot({ path: location.pathname + location.hash, room: room.name, ...room.anchor })
}

/** Takes a name and connects under it. */
export function enter(username: string): void {
  state.refusal.value = undefined
  // The message that the address names can be shown now, with the focus.
  if (state.target.value) state.target.value = { ...state.target.value, focus: turn() }
  session.open(username)
}

/** An account has signed in: continues as this account, at the place of the address. */
export function signedIn(found: Session): void {
  const { username } = found.account
  session.close()
  // What somebody else wrote in this browser is not this account's.
  if (asAccount && state.username.value !== username) forgetEverything()
  asAccount = true
  save('username', username)
  save('account', true)
  save('session', undefined)
  batch(() => {
    state.account.value = found.account
    state.username.value = username
    state.refusal.value = undefined
    state.ended.value = false
    state.way.value = undefined
    state.screen.value = 'chat'
  })
  if (!route.read()) begin(state.rooms.value.map((room) => room.name))
  session.open()
}

/** Signs the account out, or gives up the name of a visitor, and asks who comes next. */
export async function leave(to: 'name' | 'sign-in' = 'name'): Promise<void> {
  const visitor = !asAccount
  // First, so that the end of the session surprises nobody.
  session.close()
  if (!visitor) {
    try {
      await call('DELETE', 'v1/session')
    } catch (error) {
      state.notice.value = problemOf(error)
      session.open()
      return
    }
  }
  asAccount = false
  if (!visitor) forgetEverything()
  batch(() => {
    discardAll()
    state.username.value = ''
    state.account.value = undefined
    state.dialog.value = undefined
    for (const room of state.rooms.value) forget(room)
    state.screen.value = visitor ? to : 'starting'
  })
  save('username', undefined)
  save('account', undefined)
  save('session', undefined)
  if (!visitor) void arrive(false)
}

/** Forgets what belongs to the person before. */
function forgetEverything(): void {
  discardAll()
  forgetDrafts()
  notifications.value = {}
  for (const key of ['rooms', 'room', 'read', 'starred'] as const) save(key, undefined)
  state.rooms.value = [new Room('lobby')]
}

/** Takes the session back from another tab. */
export function useHere(): void {
  session.open(state.username.value)
}

function changeStatus(status: Status): void {
  deliver()
  batch(() => {
    state.status.value = status
    if (status === 'open' || status === 'silent') return
    for (const room of state.rooms.value) room.joined.value = false
    forgetTyping()
  })
}

/** The server does not take the name, or has ended the session of the account. */
function refused(refusal: Refusal): void {
  if (asAccount) {
    const show = (why: Problem) =>
      batch(() => {
        const suspended = why.code === 'suspended'
        state.ended.value = !suspended
        state.refusal.value = suspended ? why : undefined
        state.screen.value = 'sign-in'
      })
    show(refusal)
    void learnServer()
    // A connection ends without saying why; the cookie may still be that of an account.
    if (refusal.code === 'goodbye') void learnSession().catch((error: unknown) => state.ended.peek() && show(problemOf(error)))
    return
  }
  batch(() => {
    state.refusal.value = refusal
    state.username.value = ''
    state.screen.value = 'name'
  })
  // The server may take no visitors any more, or know the browser as an account.
  if (refusal.code !== 'username_taken' && /^(auth_|forbidden|goodbye)/.test(refusal.code)) void arrive()
}

function welcome(event: Welcome): void {
  deliver()
  save('session', event.session)
  save('username', event.username)
  asAccount = event.account !== undefined
  save('account', asAccount ? true : undefined)
  batch(() => {
    state.username.value = event.username
    state.account.value = event.account
    state.limits.value = event.limits
    state.refusal.value = undefined
    state.screen.value = 'chat'
    disown(event.username)
  })
  void enterRooms()
  // A reload of an account has not asked yet.
  if (!state.server.peek()) void learnServer()
}

async function enterRooms(): Promise<void> {
  if (state.account.value && !(await loadMine())) return // the next welcome asks again
  // The room on the screen comes first.
  const shown = state.room.value
  if (shown) enterRoom(shown)
  for (const room of state.rooms.value) if (room !== shown) enterRoom(room)
  void loadDirectory()
  if (state.account.value) tellReads()
}

function take(event: Event): void {
  switch (event.type) {
    case 'message':
    case 'edit':
    case 'delete':
    case 'react':
    case 'pin':
      settle(event.room, event.id, event.username, event.seq)
      return receiveEntry(event)
    case 'state':
      return receiveState(event)
    case 'notifications':
      return receiveNotifications(event)
    case 'parted':
      return receiveParted(event)
    case 'ack':
      return receiveAck(event)
    case 'presence':
      return receivePresence(event)
    case 'typing':
      return receiveTyping(event)
    case 'error':
      if (event.ref === typingRef) return refuseTyping(event)
      return event.code === 'resync' && event.room ? resync(event) : receiveError(event)
    default:
      if (isEntry(event)) receiveEntry(event)
      if ((event as { type: string }).type === 'member') loadMembersAgain()
  }
}
