// Starts and ends a visit, and routes events from the server to their modules.

import { batch } from '@preact/signals'
import { learnServer, learnSession } from './account'
import { call, problemOf, type Session } from './api'
import type { Status } from './connection'
import { keepDrafts } from './drafts'
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
import { allPending, keepSpot, load, moveBelongings, save, takeSpot } from './storage'
import { shareTabs } from './tabs'
import { turn } from './turn'
import { forgetTyping, receiveTyping, refuseTyping, typingRef } from './typing'

/** The account that the page is in as, or was until the server ended its session. */
let owner = load('account') ? load('username') : undefined
/** Whether it tries to come in as a visitor, although it may be that of an account. */
let visiting = false

/** Starts with the rooms of the last visit and the place that the address names. */
export function start(): void {
  session.prepare({ status: changeStatus, welcome, event: receive, barred: (why) => (state.barred.value = why), refused, session: () => load('session') })
  receiver(take, announce)
  list()
  shareTabs()
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
  else come()
}

/** Lists the rooms that are saved, with what was written in them and not sent. */
function list(): void {
  const names = load('rooms') ?? []
  if (names.length === 0) names.push('lobby')
  state.rooms.value = names.map((name) => new Room(name))
  state.pending.value = allPending()
  for (const p of state.pending.value) state.add(p.room)
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
function come(): void {
  begin()
  if (state.username.value === '') void arrive()
  else {
    state.screen.value = 'chat'
    session.open(owner === undefined ? state.username.value : undefined)
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
function begin(): void {
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
  const rooms = state.rooms.value
  show(route.read() ?? { room: (rooms.find((r) => r.name === last) ?? rooms[0])?.name ?? 'lobby' }, 'replace')
}

function rememberSpot(): void {
  const room = state.room.value
  if (!room || room.following || !room.anchor) return
  keepSpot({ path: location.pathname + location.hash, room: room.name, ...room.anchor })
}

/** Takes a name and connects under it. */
export function enter(username: string): void {
  visiting = true
  state.refusal.value = undefined
  // The message that the address names can be shown now, with the focus.
  if (state.target.value) state.target.value = { ...state.target.value, focus: turn() }
  session.open(username)
}

/** An account has signed in: continues as this account, at the place of the address. */
export function signedIn(found: Session): void {
  const { username } = found.account
  session.close()
  visiting = false
  const other = owner !== username || (load('username') ?? owner) !== username
  // What another account wrote in this browser is not this one's.
  if (owner !== undefined && owner !== username) putAway()
  owner = username
  moveBelongings(asideOf(username), '', true)
  if (other) list()
  keepName(username)
  batch(() => {
    state.account.value = found.account
    state.username.value = username
    state.refusal.value = undefined
    state.way.value = undefined
    state.screen.value = 'chat'
  })
  if (!route.read() || !state.room.peek()) begin()
  session.open()
}

/** Signs the account out, or gives up the name of a visitor, and asks who comes next. */
export async function leave(to: 'name' | 'sign-in' = 'name'): Promise<void> {
  const visitor = owner === undefined
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
  if (visitor) discardAll()
  else putAway(true)
  owner = undefined
  batch(() => {
    state.username.value = ''
    state.account.value = undefined
    state.dialog.value = undefined
    for (const room of state.rooms.value) forget(room)
    state.screen.value = visitor ? to : 'starting'
  })
  keepName()
  if (!visitor) void arrive(false)
}

/** The beginning of the keys of an account that somebody else has come in after. No username has a space. */
const asideOf = (username: string) => `of ${username} `

/** Puts away what belongs to the account before, where only that account finds it again, or forgets it. */
function putAway(forGood = false): void {
  keepDrafts()
  // Another tab may have let somebody else in.
  moveBelongings('', forGood ? undefined : asideOf(owner!), load('username') === owner)
  notifications.value = {}
  list()
}

/** Saves the name that the browser is in under, and whether that is an account. */
function keepName(username?: string, secret?: string): void {
  save('username', username)
  save('account', owner !== undefined || undefined)
  save('session', secret)
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
  if (owner !== undefined && !visiting) {
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
  batch(() => {
    // A visitor with the name of an account: there is no such account any more.
    if (owner !== undefined && !event.account) putAway(owner === event.username)
    state.username.value = event.username
    state.account.value = event.account
    state.limits.value = event.limits
    state.refusal.value = undefined
    state.ended.value = false
    state.screen.value = 'chat'
    disown(event.username)
  })
  owner = event.account && event.username
  keepName(event.username, event.session)
  if (!state.room.peek()) begin()
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
