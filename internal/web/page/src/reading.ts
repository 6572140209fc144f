// Takes live entries, and keeps track of how far the user has read.

import { batch } from '@preact/signals'
import { mentions } from './markup'
import { notify } from './notify'
import type { LiveEntry, LiveMessage, Message } from './protocol'
import { attentive, find, noLine, rooms, spoken, username, type Room } from './state'
import { keepReads } from './storage'

/** How long the read position may go unsaved. Milliseconds. */
const readWait = 500
/** A run that grows beyond this while the user follows it is trimmed to half. */
const mostFollowed = 10_000
/** Beyond this a run does not grow while the user reads elsewhere in it. */
const mostLoaded = 20_000
/** The most live messages of a room that is not on the screen: only a page that is being loaded may need them. */
const mostUnseen = 500

/** The most new messages that are read out at once. */
const mostSpoken = 5

/** The message to notify of in each room. */
const due = new Map<Room, Message>()
let heard: Message[] = []

export function receiveMessage(event: LiveMessage): void {
  const room = find(event.room)
  if (!room) return
  const { seq, id, username, content, time } = event
  take(room, { seq, id, username, content, time })
}

/** Takes an entry of an unknown kind: it moves the room's cursor, and shows nothing. */
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
  // It will be on the screen, and the user is looking.
  const seen = shown && room.following && attentive.value && room.log.attached && room.log.loaded
  const allRead = room.unread.value === 0
  if (allRead) {
    if (mine) room.line.value = noLine
    else if (!seen) room.line.value = room.read.value
  }
  advance(room, message.seq)
  // A message that was written before a break does not mean that the missed ones have been read.
  if (seen || (mine && (allRead || (shown && room.following)))) markRead(room, message.seq)
  keep(room, message, shown)
  room.changed()
  if (mine) return
  const mentioned = mentions(message.content, username.value)
  if (mentioned && !(shown && attentive.value)) room.mentioned.value = true
  if (!caughtUp) return
  if (shown) heard.push(message)
  // Among several, a mention matters most.
  if (!attentive.value && (mentioned || !due.has(room) || !mentions(due.get(room)!.content, username.value))) due.set(room, message)
}

/** Adds a message to the run, which stays bounded. */
function keep(room: Room, message: Message, shown: boolean): void {
  const { log } = room
  if (!room.following && log.messages.length >= mostLoaded) log.attached = false
  log.append(message)
  const most = log.loaded && (shown || room.following) ? mostFollowed : mostUnseen
  if ((room.following || !log.loaded) && log.messages.length > most) log.trim(most / 2)
}

/** After a batch of messages: reads out the last ones, and notifies. */
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

/** The user has read a room up to a seq. */
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
