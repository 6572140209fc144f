// What has come and what has been read.

import { batch } from '@preact/signals'
import { mentions } from './markup'
import { notify } from './notify'
import type { LiveEntry, LiveMessage, Message } from './protocol'
import { attentive, find, noLine, rooms, spoken, username, type Room } from './state'
import { keepReads } from './storage'

/** How long what has been read may be unkept. Milliseconds. */
const readWait = 500
/** A room that grows while it is followed is cut to half of this. */
const mostFollowed = 10_000
/** Beyond this it does not grow while the reader is elsewhere in it. */
const mostLoaded = 20_000
/** What is kept of a room that has not been shown: only a page that is under way may need it. */
const mostUnseen = 500

/** How many new messages are read out at once. */
const mostSpoken = 5

/** What to notify of: the newest of each room. */
const due = new Map<Room, Message>()
let heard: Message[] = []

export function receiveMessage(event: LiveMessage): void {
  const room = find(event.room)
  if (!room) return
  const { seq, id, username, content, time } = event
  take(room, { seq, id, username, content, time })
}

/** Takes an entry of a kind that is not shown: it only moves the room's cursor. */
export function receiveEntry({ room: name, seq }: LiveEntry): void {
  const room = find(name)
  if (!room?.cursor || seq <= room.cursor.seq) return
  const allRead = room.unread.value === 0
  advance(room, seq)
  room.log.extend(seq)
  if (allRead) markRead(room, seq)
  room.changed()
}

/** Takes the next message of a room's log. */
export function take(room: Room, message: Message): void {
  const mine = message.username === username.value
  const caughtUp = message.seq > room.head
  if (room.cursor && message.seq <= room.cursor.seq) return
  const shown = room.here.value
  // It is going to be on the screen, and somebody looks at it.
  const seen = shown && room.following && attentive.value && room.log.attached && room.log.loaded
  const allRead = room.unread.value === 0
  if (allRead) {
    if (mine) room.line.value = noLine
    else if (!seen) room.line.value = room.read.value
  }
  advance(room, message.seq)
  // What was written before a break is no sign that what was missed has been read.
  if (seen || (mine && (allRead || (shown && room.following)))) markRead(room, message.seq)
  keep(room, message, shown)
  room.changed()
  if (mine) return
  const mentioned = mentions(message.content, username.value)
  if (mentioned && !(shown && attentive.value)) room.mentioned.value = true
  if (!caughtUp) return
  if (shown) heard.push(message)
  // Of several at once a mention is what matters most.
  if (!attentive.value && (mentioned || !due.has(room) || !mentions(due.get(room)!.content, username.value))) due.set(room, message)
}

/** Puts a message into what is loaded, which stays bounded however much comes. */
function keep(room: Room, message: Message, shown: boolean): void {
  const { log } = room
  if (!room.following && log.messages.length >= mostLoaded) log.attached = false
  log.append(message)
  const most = log.loaded && (shown || room.following) ? mostFollowed : mostUnseen
  if ((room.following || !log.loaded) && log.messages.length > most) log.trim(most / 2)
}

/** After some messages have been taken: reads the last ones out, and notifies. */
export function announce(): void {
  if (heard.length > 0) {
    spoken.value = [...spoken.value, ...heard].slice(-mostSpoken)
    heard = []
  }
  for (const [room, message] of due) notify(room.name, message)
  due.clear()
}

export function advance(room: Room, seq: number): void {
  if (room.cursor && seq > room.cursor.seq) room.cursor = { ...room.cursor, seq }
  if (seq > room.newest.value) room.newest.value = seq
}

let saving: ReturnType<typeof setTimeout> | undefined

/** The user has seen a room's messages up to a seq. */
export function markRead(room: Room, seq: number): void {
  if (seq <= room.read.value) return
  batch(() => {
    room.read.value = seq
    if (room.unread.value === 0) room.mentioned.value = false
  })
  saving ??= setTimeout(saveReads, readWait)
}

export function saveReads(): void {
  clearTimeout(saving)
  saving = undefined
  const reads: Parameters<typeof keepReads>[0] = {}
  for (const room of rooms.value) if (room.cursor) reads[room.name] = { epoch: room.cursor.epoch, seq: room.read.value }
  keepReads(reads)
}
