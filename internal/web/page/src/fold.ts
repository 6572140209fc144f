// Folds changes into messages: edits, deletions, reactions, pins, and replies to them. A message is
// never changed in place, so that the rows that show it are rendered again. A test compares this with
// the server's folding (internal/store).

import type { Amend, Amendment, Message, Reaction } from './protocol'

/** What becomes of a message: a change of it, or a message that answers it. */
export type Event = Amendment | { type: 'reply'; seq: number; target: number }

/** How many names a reaction has. */
const mostNames = 5

/** The message as an entry leaves it; the same object if that makes no difference. `me` is the user's name. */
export function fold(message: Message, event: Event, me: string): Message {
  if (message.change || event.seq <= (message.asOf ?? message.seq)) return message
  // Only replies are counted after that.
  if (message.deleted && event.type !== 'reply') return message
  const asOf = event.seq
  switch (event.type) {
    case 'reply':
      return { ...message, asOf, replies: (message.replies ?? 0) + 1 }
    case 'edit': {
      // A message that was read from the store may have a later content already.
      if (message.edited && message.edited.seq > event.seq) return message
      return { ...message, asOf, edited: { seq: event.seq, time: event.time }, content: event.content ?? message.content }
    }
    case 'delete': {
      const { reactions: _, pinned: __, pinned_at: ___, files: ____, ...rest } = message
      return { ...rest, asOf, content: '', deleted: true }
    }
    case 'pin': {
      const { pinned: _, pinned_at: __, ...rest } = message
      return { ...rest, asOf, ...(event.on ? { pinned: true, pinned_at: event.seq } : {}) }
    }
    case 'react': {
      const { reactions: before = [], ...rest } = message
      const reactions = react(before, event.emoji, event.on, event.username, event.username === me)
      return { ...rest, asOf, ...(reactions.length > 0 ? { reactions } : {}) }
    }
  }
}

function react(all: Reaction[], emoji: string, on: boolean, username: string, me: boolean): Reaction[] {
  const found = all.find((r) => r.emoji === emoji)
  if (!found) return on ? [...all, { emoji, count: 1, me, usernames: [username] }] : all
  // The user's own may be known already.
  if (me && found.me === on) return all
  const usernames = found.usernames.filter((name) => name !== username)
  if (on && usernames.length < mostNames) usernames.push(username)
  const reaction = { emoji, count: found.count + (on ? 1 : -1), me: me ? on : found.me, usernames }
  return all.flatMap((r) => (r !== found ? [r] : reaction.count > 0 ? [reaction] : []))
}

/** The seq of the version that a message has: of its last edit, or its own. */
export const version = (message: Message): number => message.edited?.seq ?? message.seq

/** The message as a request of the user's will leave it, if the server agrees. */
export function expect(message: Message, amend: Amend, time: string, me: string): Message {
  const seq = Math.max(message.asOf ?? message.seq, version(message)) + 1
  return fold(message, { ...amend, seq, id: '', username: me, time }, me)
}
