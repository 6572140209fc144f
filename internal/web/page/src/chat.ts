// Starts and ends a visit, and routes events from the server to their modules.

import { batch } from '@preact/signals'
import type { Status } from './connection'
import { deliver, receive, receiver } from './inbox'
import { loadDirectory, receivePresence } from './names'
import { disown, discardAll, receiveAck, receiveError, settle } from './outbox'
import { isEntry, type Event, type Refusal, type Welcome } from './protocol'
import { announce, receiveEntry, receiveMessage, saveReads } from './reading'
import { enterRoom, forget, resync, show } from './rooms'
import * as route from './route'
import * as session from './session'
import * as state from './state'
import { Room } from './state'
import { keepSpot, load, save, takeSpot } from './storage'
import { restore } from './tabs'
import { turn } from './turn'

/** Starts with the rooms of the last visit and the place that the address names. */
export function start(): void {
  session.prepare({ status: changeStatus, welcome, event: receive, refused, session: () => load('session') })
  receiver(take, announce)
  const names = load('rooms') ?? []
  if (names.length === 0) names.push('lobby')
  state.rooms.value = names.map((name) => new Room(name))
  restore()
  begin(names)
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
  if (state.username.value) session.open(state.username.value)
}

/** Shows the place before a reload, else the one in the address, else the last room. */
function begin(names: string[]): void {
  const spot = takeSpot()
  const [entry] = performance.getEntriesByType('navigation') as PerformanceNavigationTiming[]
  if (spot && spot.path === location.pathname + location.hash && entry?.type !== 'navigate') {
    show({ room: spot.room }, 'none')
    const room = state.room.value
    if (room) {
      room.following = false
      room.anchor = { seq: spot.seq, offset: spot.offset }
    }
    return
  }
  const last = load('room')
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

/** Gives up the name and shows the form that asks for one. */
export function leave(): void {
  session.close()
  batch(() => {
    discardAll()
    state.username.value = ''
    state.dialog.value = undefined
    for (const room of state.rooms.value) forget(room)
  })
  save('username', undefined)
  save('session', undefined)
}

/** Takes the session back from another tab. */
export function useHere(): void {
  session.open(state.username.value)
}

function changeStatus(status: Status): void {
  deliver()
  batch(() => {
    state.status.value = status
    if (status !== 'open' && status !== 'silent') for (const room of state.rooms.value) room.joined.value = false
  })
}

function refused(refusal: Refusal): void {
  batch(() => {
    state.refusal.value = refusal
    state.username.value = ''
  })
}

function welcome(event: Welcome): void {
  deliver()
  save('session', event.session)
  save('username', event.username)
  batch(() => {
    state.username.value = event.username
    state.limits.value = event.limits
    state.refusal.value = undefined
    disown(event.username)
  })
  // The room on the screen comes first.
  const shown = state.room.value
  if (shown) enterRoom(shown)
  for (const room of state.rooms.value) if (room !== shown) enterRoom(room)
  void loadDirectory()
}

function take(event: Event): void {
  switch (event.type) {
    case 'message':
      settle(event.room, event.id, event.username)
      return receiveMessage(event)
    case 'ack':
      return receiveAck(event)
    case 'presence':
      return receivePresence(event)
    case 'error':
      return event.code === 'resync' && event.room ? resync(event) : receiveError(event)
    default:
      if (isEntry(event)) receiveEntry(event)
  }
}
