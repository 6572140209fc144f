// Takes live entries, and keeps track of how far the user has read.

import { batch } from '@preact/signals'
import { RequestError } from './connection'
import { mentions, mentionsDirectly } from './markup'
import { notify } from './notify'
import { isAmendment, shown as asMessage, type LiveAmendment, type LiveEntry, type LiveMessage, type Message } from './protocol'
import { hasKeyword } from './quiet'
import { ask, send } from './session'
import { account, attentive, covered, find, noLine, notice, rooms, spoken, username, type Room } from './state'
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
/** The message of each room that is the likeliest to mention the account, if the server says that one does. */
const likely = new Map<Room, Message>()
/** Rooms with a mention of the account in a message that has not come yet. */
const awaited = new Set<Room>()
let heard: Message[] = []

/** Takes a live entry. One that changes a message or is of an unknown kind only moves the room's cursor. */
export function receiveEntry(entry: LiveEntry | LiveMessage | LiveAmendment): void {
  const room = find(entry.room)
  if (!room?.cursor) return
  const message = asMessage(entry)
  if (message) return take(room, message)
  if (entry.seq <= room.cursor.seq) return
  const allRead = room.unread.value === 0
  advance(room, entry.seq)
  room.log.extend(entry.seq)
  if (isAmendment(entry)) room.fold(entry)
  if (allRead) markRead(room, entry.seq)
  else room.uncounted.value++
  room.changed()
}

/** Takes the next message of a room's log. */
export function take(room: Room, message: Message): void {
  const mine = message.username === username.value
  const counts = !mine && !message.change
  const caughtUp = message.seq > room.head
  if (room.cursor && message.seq <= room.cursor.seq) return
  const shown = room.here.value
  // It will be on the screen, and the user is looking.
  const seen = shown && !covered.value && room.following && attentive.value && room.log.attached && room.log.loaded
  const allRead = room.unread.value === 0
  if (allRead) {
    if (mine) room.line.value = noLine
    else if (!seen && counts) room.line.value = room.read.value
  }
  advance(room, message.seq)
  // A message that was written before a break does not mean that the missed ones have been read.
  if (seen || (!counts && allRead) || (mine && shown && room.following)) markRead(room, message.seq)
  else if (!counts) room.uncounted.value++
  keep(room, message, shown)
  if (message.reply_to !== undefined) answered(room, message, message.reply_to)
  room.changed()
  if (!counts || message.deleted) return
  const mentioned = mentionsUser(room, message.content)
  if (mentioned && !account.value && message.seq > room.read.value) room.mentions.value++
  if (!caughtUp) return
  if (shown) heard.push(message)
  if (attentive.value) return
  // Among several, a mention matters most.
  const before = likely.get(room)
  if (mentioned || !before || before.seq <= room.read.value || !mentionsUser(room, before.content)) likely.set(room, message)
  if (mentioned || !due.has(room) || !mentionsUser(room, due.get(room)!.content)) due.set(room, message)
}

/** The server says that another message mentions the account, in a room whose last seq it gives. Others may not have come yet. */
export function mentionedIn(room: Room, head: number): void {
  const message = likely.get(room)
  if (message && message.seq > Math.max(room.read.value, room.notified)) notify(room, message, true)
  else if (room.cursor && head > room.cursor.seq) awaited.add(room)
}

/** Whether a message looks as if it mentions the user in a room, or has a keyword: in a quiet one only the name itself is one. */
function mentionsUser(room: Room, content: string): boolean {
  if (room.notify.value === 'none') return mentionsDirectly(content, username.value)
  return mentions(content, username.value) || hasKeyword(content)
}

/** A message is one of a thread. */
function answered(room: Room, message: Message, target: number): void {
  room.fold({ type: 'reply', seq: message.seq, target })
  const thread = room.thread.peek()
  if (thread?.seq === target) thread.log.append(message)
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
  // What mentions an account is the server's to say: not each @everyone does.
  for (const [room, message] of due) notify(room, message, account.value ? awaited.delete(room) || hasKeyword(message.content) : mentionsUser(room, message.content))
  due.clear()
}

export function advance(room: Room, seq: number): void {
  if (room.cursor && seq > room.cursor.seq) room.cursor = { ...room.cursor, seq }
  if (seq > room.newest.value) room.newest.value = seq
}

let saving: ReturnType<typeof setTimeout> | undefined

/** The user has read a room up to a seq. */
export function markRead(room: Room, seq: number): void {
  if (room.held) return
  unflag(room, seq)
  if (seq <= room.read.value) return
  batch(() => {
    const passed = counted(room, seq)
    room.uncounted.value = seq >= room.newest.value ? 0 : Math.max(0, room.uncounted.value - (seq - room.read.value - passed.messages))
    room.mentions.value = Math.max(0, room.mentions.value - passed.mentions)
    room.read.value = seq
    if (room.unread.value === 0) room.mentions.value = 0
  })
  saving ??= setTimeout(saveReads, readWait)
}

/** Reading at or behind the place that the user has marked as unread clears the mark. */
function unflag(room: Room, seq: number): void {
  const from = room.unreadFrom.peek()
  if (from === undefined || seq < from) return
  room.unreadFrom.value = undefined
  // The server has to know, although nothing is read that was not read before.
  room.told = Math.min(room.told, from - 1)
  saving ??= setTimeout(saveReads, readWait)
}

/** Marks a room as unread from one of its messages on, until the user comes back to it. */
export async function markUnread(room: Room, seq: number): Promise<void> {
  const before = room.unreadFrom.peek()
  // What has been read until now must not clear it.
  saveReads()
  batch(() => {
    room.held = true
    room.unreadFrom.value = seq
    drawLine(room)
  })
  try {
    await ask({ type: 'unread', room: room.name, seq })
  } catch (error) {
    batch(() => {
      room.held = false
      room.unreadFrom.value = before
      notice.value = (error instanceof RequestError ? error.refusal : undefined) ?? { code: 'offline', message: '' }
    })
  }
}

/** Draws the unread line: where the user has marked the room as unread, or where reading has ended. */
export function drawLine(room: Room): void {
  const from = room.unreadFrom.peek()
  room.flagged = from ?? 0
  if (from !== undefined) room.line.value = from - 1
  else if (room.unread.value > 0 && room.line.value === noLine) room.line.value = room.read.value
  room.changed()
}

/** How many messages of others there are between the read position and a seq, and how many of them mention the user. */
function counted(room: Room, seq: number): { messages: number; mentions: number } {
  const { messages } = room.log
  const n = { messages: 0, mentions: 0 }
  for (let i = messages.length - 1; i >= 0 && messages[i]!.seq > room.read.value; i--) {
    const { seq: at, change, username: author, content } = messages[i]!
    if (at > seq || change || author === username.value) continue
    n.messages++
    // Those of an account are the server's to count: it says how many are left.
    if (room.mentions.value > 0 && !account.value && mentionsUser(room, content)) n.mentions++
  }
  return n
}

export function saveReads(): void {
  clearTimeout(saving)
  saving = undefined
  if (account.value) return tellReads()
  const reads: Parameters<typeof keepReads>[0] = {}
  for (const room of rooms.value) if (room.cursor) reads[room.name] = { epoch: room.cursor.epoch, seq: room.read.value }
  keepReads(reads)
}

/** Lets the other devices of the account know how far it has read. */
export function tellReads(): void {
  for (const room of rooms.value) {
    const seq = room.read.value
    if (seq > room.told && room.member.value && room.cursor && send({ type: 'read', room: room.name, seq })) room.told = seq
  }
}
