// Rooms that the user has marked as unread, to come back to them later. What was read stays read.

import { batch, signal } from '@preact/signals'
import { RequestError } from './connection'
import { ask } from './session'
import * as state from './state'
import { noLine, type Room } from './state'

/** The server does not know the request: it is older than the page. */
const unknown = signal(false)

/** Whether the user may mark a room as unread: it is on all devices of an account. */
export const marksUnread = (room: Room): boolean => state.account.value !== undefined && room.member.value && !unknown.value

/** Marks a room as unread from a message on. It stays so until the user comes to the room again. */
export function markUnread(room: Room, seq: number): void {
  const before = room.unreadFrom.peek()
  batch(() => {
    room.unreadFrom.value = seq
    room.line.value = seq - 1
    room.changed()
  })
  void ask({ type: 'unread', room: room.name, seq }).catch((error: unknown) => {
    room.unreadFrom.value = before
    if (!(error instanceof RequestError) || !error.refusal) return
    if (error.refusal.code === 'unknown_type') unknown.value = true
    else state.notice.value = error.refusal
  })
}

/** The user comes to a room: it is not unread any more, and the line shows from where it was. */
export function clearUnread(room: Room): void {
  const from = room.unreadFrom.peek()
  if (from === 0) return
  room.unreadFrom.value = 0
  room.line.value = from - 1
  void ask({ type: 'unread', room: room.name, seq: 0 }).catch(() => (room.unreadFrom.value = from))
}

/** Takes what the server knows. */
export function takeUnread(room: Room, from: number | undefined): void {
  room.unreadFrom.value = from ?? 0
  if (from !== undefined && room.here.value && room.line.value === noLine) room.line.value = from - 1
}
