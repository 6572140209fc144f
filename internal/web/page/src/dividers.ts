// Dividers above the rows of the list: days, the unread line, gaps, and names.

import type { Message } from './protocol'
import { noLine, username, type Room } from './state'

/** Messages of one author within this time form a group under one name. Milliseconds. */
const groupWithin = 5 * 60_000

/** The seq of the message above a row, or the one before the run. */
function seqAbove({ log }: Room, row: number): number {
  return log.messages[row - 1]?.seq ?? log.start - 1
}

/** Whether the unread line stands above a row. */
export function lineAbove(room: Room, row: number): boolean {
  const line = room.line.value
  const message = room.log.messages[row]!
  return line !== noLine && message.seq > line && seqAbove(room, row) <= line && (message.username !== username.value || message.seq === room.flagged)
}

/** Whether messages are missing above a row because the server no longer has them. */
export function gapAbove(room: Room, row: number): boolean {
  const before = room.gapBefore.value
  return before > 0 && room.log.messages[row]!.seq >= before && seqAbove(room, row) < before
}

/** Whether a day begins with a row. */
export function dayAbove({ log }: Room, row: number): boolean {
  return row === 0 ? !log.moreBefore : !sameDay(log.messages[row - 1]!, log.messages[row]!)
}

/** Whether a row shows its author's name. */
export function startsGroup(room: Room, row: number): boolean {
  const { messages } = room.log
  return row === 0 || dayAbove(room, row) || lineAbove(room, row) || !grouped(messages[row - 1]!, messages[row]!)
}

function sameDay(a: Message, b: Message): boolean {
  return new Date(a.time).toDateString() === new Date(b.time).toDateString()
}

/** Whether both times are in the same few minutes of the clock, so that a long run repeats its name. */
export function samePeriod(a: string, b: string): boolean {
  return Math.floor(Date.parse(a) / groupWithin) === Math.floor(Date.parse(b) / groupWithin)
}

function grouped(previous: Message, message: Message): boolean {
  return !previous.change && !message.change && previous.username === message.username && samePeriod(previous.time, message.time)
}
