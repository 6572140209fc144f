// What the user does to messages: reactions, edits, deletions and pins.

import { normal, use } from './emoji'
import { compose } from './focus'
import { expect, version } from './fold'
import { amend } from './outbox'
import type { Message } from './protocol'
import { may } from './rights'
import { factsOf, pending, username, type Field, type Room } from './state'
import type { Pending } from './storage'

/** The changes of each message by the user that have no ack yet, by its seq, in their order. */
export function amendsOf(room: Room): Map<number, Pending[]> {
  const found = new Map<number, Pending[]>()
  for (const p of pending.value) {
    if (p.room !== room.name || !p.amend) continue
    const { target } = p.amend
    found.set(target, [...(found.get(target) ?? []), p])
  }
  return found
}

/** The message as it will be if the server agrees to all that has not been refused. */
export function expected(message: Message, waiting: Pending[] | undefined): Message {
  if (!waiting) return message
  return waiting.reduce((to, { amend: change, error, time }) => (change && !error ? expect(to, change, time, username.value) : to), message)
}

/** Adds a reaction of the user, or takes it back. */
export function react(room: Room, { seq, reactions }: Message, text: string): void {
  const emoji = normal(text)
  const on = !reactions?.some((r) => r.me && r.emoji === emoji)
  if (on) use(emoji)
  amend(room, { type: 'react', target: seq, emoji, on })
}

export function setPinned(room: Room, { seq }: Message, on: boolean): void {
  amend(room, { type: 'pin', target: seq, on })
}

export function remove(room: Room, { seq }: Message): void {
  amend(room, { type: 'delete', target: seq })
}

/** Edits a message in the field, beginning with a text. */
export function edit(field: Field, { seq, content }: Message, text = content): void {
  const stored = field.room.message(seq)
  if (stored) compose(field, { type: 'edit', seq, epoch: epochOf(field.room), base: version(stored), text })
}

/** Answers a message in the field. */
export function answer(room: Room, { seq }: Message): void {
  compose(room, { type: 'reply', seq, epoch: epochOf(room) })
}

const epochOf = (room: Room): string => room.cursor?.epoch ?? ''

/** Edits the user's last message beside a field, if there is one on this page. */
export function editLast(field: Field): boolean {
  const { room, log } = field
  if (!log.attached || !may('edit', factsOf(room))) return false
  const waiting = amendsOf(room)
  const { messages } = log
  for (let i = messages.length - 1; i >= 0; i--) {
    if (messages[i]!.change || messages[i]!.username !== username.value) continue
    const message = expected(messages[i]!, waiting.get(messages[i]!.seq))
    if (message.deleted) continue
    edit(field, message)
    return true
  }
  return false
}

/** Saves the edit in the field. A text that is as before is no edit. */
export function saveEdit(room: Room, seq: number, base: number, content: string): void {
  const stored = room.message(seq)
  if (stored && expected(stored, amendsOf(room).get(seq)).content === content) return
  amend(room, { type: 'edit', target: seq, content, base })
}
