// The frames of kaban/1, as docs/protocol.md describes them, over a WebSocket:
// one JSON object in each text message.

/** What a message says of one of its files. */
export interface FileInfo {
  /** Its id. */
  file: string
  name: string
  /** Bytes. */
  size: number
  /** The media type, by the server's look at the content. */
  type: string
  /** Pixels; only of pictures that the server has encoded anew, which have a thumbnail too. */
  width?: number
  height?: number
  /** What a picture shows, for people that do not see it. */
  alt?: string
}

/** An item of a room's log. Any frame with `room` and `seq` is one, and so is each element of a page of history. */
export interface Entry {
  seq: number
  /** The kind. An element of a page without one is a message. */
  type?: string
}

/** A message of a room's log, as pages and live frames carry it. */
export interface Message extends Entry {
  /** Absent for visitors. */
  account?: string
  type?: 'message'
  id: string
  username: string
  /** Empty in a change. */
  content: string
  /** RFC 3339, UTC, milliseconds. */
  time: string
  /** Set if the entry is no message, but is shown as a quiet line. */
  change?: Change
  /** A program has written it. */
  bot?: boolean
  /** The seq of the message that it answers. */
  reply_to?: number
  /** The last edit; the content is of it. */
  edited?: { seq: number; time: string }
  /** It was deleted: it has no content, and nothing changes any more. */
  deleted?: boolean
  reactions?: Reaction[]
  /** How many messages answer it. */
  replies?: number
  files?: FileInfo[]
  pinned?: boolean
  /** The seq of the pin. */
  pinned_at?: number
  /** The seq up to which changes are folded into it; its own if there is none. */
  asOf?: number
}

export interface Reaction {
  emoji: string
  count: number
  me: boolean
  /** The first five. */
  usernames: string[]
}

/** What an entry changes in a message. */
export type Amends =
  /** The content is left out if it has been replaced since. It is empty if the message has only files now. */
  | { type: 'edit'; content?: string }
  | { type: 'delete'; reason?: string }
  | { type: 'react'; emoji: string; on: boolean }
  | { type: 'pin'; on: boolean }

/** A request that changes a message. `base` is the seq of the version that was edited. */
export type Amend =
  | { type: 'edit'; target: number; content: string; base: number }
  | { type: 'delete'; target: number }
  | { type: 'react'; target: number; emoji: string; on: boolean }
  | { type: 'pin'; target: number; on: boolean }

/** An entry that changes a message, which is its target. It has no place of its own among the messages. */
export type Amendment = Amends & { seq: number; target: number; id: string; username: string; time: string }

/** What an entry that is no message has changed. */
export type Change =
  | { type: 'member'; subject: string; change: string; role?: string; reason?: string; until_ms?: number }
  | { type: 'topic'; topic: string }
  | { type: 'room'; change: string; kind?: string; flags?: string[]; history?: string; archived?: boolean }

export type RoomKind = 'public' | 'private' | 'direct'
export type RoomRole = 'member' | 'speaker' | 'op'
export type Flag = 'announce' | 'locked' | 'archived'
export type Level = 'all' | 'mentions' | 'none'

/** A role on the server, the lowest first. */
export type Role = 'guest' | 'member' | 'admin' | 'owner'

export interface Account {
  username: string
  name: string
  role: Role
  bot: boolean
  status?: string
  created?: string
  owner?: string
  online?: boolean
}

/** When an account is not to be disturbed: at some hours, until a moment, or both. */
export interface Quiet {
  /** Times of day, as 22:00. `to` is on the next day if it is not later. */
  from?: string
  to?: string
  zone?: string
  /** The days on which it begins; all if absent. */
  days?: string[]
  until_ms?: number
}

/** What an account wants to be notified of. */
export interface Notifications {
  keywords?: string[]
  quiet?: Quiet
  /** That of rooms for which it has chosen none. */
  level?: Level
}

/** A place in a room's log. A seq of another epoch means nothing. */
export interface Cursor {
  epoch: string
  seq: number
}

export type Request =
  /** Without `username` as the account of the cookie. */
  | { type: 'hello'; version: 1; username?: string; resume?: string }
  | { type: 'join' | 'watch'; room: string; epoch?: string; after?: number }
  | { type: 'part' | 'unwatch' | 'typing'; room: string }
  | { type: 'me'; after?: string }
  | { type: 'create'; room: string; kind: 'public' | 'private'; topic?: string }
  | { type: 'direct'; usernames: string[] }
  | { type: 'away'; away: boolean; text?: string; until_ms?: number }
  | { type: 'read' | 'unread'; room: string; seq: number }
  | { type: 'notify'; room: string; level: Level }
  | ((Act | Amend) & { room: string; id: string })
  | { type: 'send'; room: string; id: string; content: string; reply_to?: number; files?: string[] }
  | { type: 'history'; room: string; before?: number; after?: number; replies_to?: number; limit?: number }
  | { type: 'search'; query: string; room?: string; before?: number; limit?: number; zone?: string }
  | { type: 'inbox'; before?: number; limit?: number }
  | { type: 'unread'; room: string; seq: number }
  | { type: 'rooms'; after?: string }
  | { type: 'members'; room: string; after?: string }
  | { type: 'ping' }
  | { type: 'pong' }

/** A request that becomes an entry of a room's log. */
export type Act =
  | { type: 'invite' | 'kick' | 'unban' | 'mute' | 'unmute'; username: string; reason?: string }
  | { type: 'ban'; username: string; reason?: string; until_ms?: number }
  | { type: 'role'; username: string; role: RoomRole }
  | { type: 'topic'; topic: string }
  | { type: 'set'; kind?: 'private'; flags?: Flag[]; history?: 'all' | 'joined'; archived?: boolean }

export interface Welcome {
  type: 'welcome'
  /** Only for visitors. */
  session?: string
  username: string
  /** Only for accounts. */
  account?: Account
  server: string
  limits: { username: number; content: number; frame: number; topic?: number }
  /** Seconds. */
  heartbeat: number
}
export interface Joined {
  type: 'joined' | 'watching'
  room: string
  epoch: string
  head: number
  members: number
  ref?: string
}
export interface LiveMessage extends Message {
  type: 'message'
  room: string
}
export type LiveAmendment = Amendment & { room: string }
/** An entry of a kind that the page does not know: it shows nothing, but has its place in the log. */
export interface LiveEntry {
  room: string
  seq: number
}
export interface Ack {
  type: 'ack'
  room: string
  id: string
  seq: number
  time: string
  duplicate: boolean
}
export interface History {
  type: 'history'
  room: string
  messages: Entry[]
  /** The seq up to which changes are folded into the messages. */
  as_of?: number
  /** The page covers every seq from `first` to `last`; older servers do not say it. */
  first?: number
  last?: number
  more: boolean
  ref?: string
}
/** A message that a search has found. */
export interface Hit {
  room: string
  seq: number
  id: string
  username: string
  account?: string
  bot?: boolean
  time: string
  /** The part of the content to show. */
  snippet: string
  /** What to highlight of it: starts and lengths, in code points. */
  marks: [number, number][]
  files?: FileInfo[]
}
/** What a search has found, the newest first. */
export interface Found {
  type: 'found'
  hits: Hit[]
  more: boolean
  /** The `before` of the next page. */
  next?: number
  /** There may be hits that the server has not looked at. */
  partial: boolean
  ref?: string
}
/** A message that mentions the account, which has not read it yet. */
export interface Mentioned {
  room: string
  seq: number
  id: string
  username: string
  account?: string
  bot?: boolean
  time: string
  content: string
  files?: FileInfo[]
  cause: 'name' | 'everyone' | 'here'
}
/** The unread mentions of the account, the newest first. */
export interface Inbox {
  type: 'inbox'
  mentions: Mentioned[]
  more: boolean
  next?: number
  ref?: string
}
export interface RoomInfo {
  room: string
  head: number
  members: number
}
export interface Rooms {
  type: 'rooms'
  rooms: RoomInfo[]
  more: boolean
  ref?: string
}
export interface Member {
  username: string
  /** Absent for visitors. */
  account?: string
  name?: string
  role: RoomRole
  online: boolean
  bot: boolean
  /** The account says so, until `until_ms` if that is there. */
  away?: boolean
  status?: string
  until_ms?: number
}
export interface Members {
  type: 'members'
  room: string
  usernames: string[]
  /** Absent on older servers. */
  members?: Member[]
  more: boolean
  ref?: string
}
export interface Presence {
  type: 'presence'
  room: string
  members: number
  joined?: string[]
  left?: string[]
}
/** Everybody but the user that is typing in a room. */
export interface Typing {
  type: 'typing'
  room: string
  usernames: string[]
}
/** What an account has of a room. */
export interface Mine {
  room: string
  kind: RoomKind
  title?: string
  topic: string
  role: RoomRole
  flags: Flag[]
  /** Of a private room; older servers do not say it. */
  history?: 'all' | 'joined'
  head: number
  read: number
  unread: number
  /** The entry from which the account has marked the room as unread. */
  unread_from?: number
  mentions: number
  notify: Level
}
export interface Me extends Notifications {
  type: 'me'
  account?: Account
  rooms: Mine[]
  more: boolean
  ref?: string
}
export type State = ({ type: 'state' } & Mine & { gone?: undefined }) | { type: 'state'; room: string; gone: true }
export interface Created {
  type: 'created'
  room: string
  ref?: string
}
export interface Parted {
  type: 'parted'
  room: string
  /** Set if the server has ended it: `kicked`, `banned` or `gone`. */
  reason?: string
  ref?: string
}
/** An error, from the server or from the page itself. */
export interface Problem {
  code: string
  /** A sentence in English. */
  message: string
  max?: number
  actual?: number
  /** The invalid field, in answers over HTTP. */
  field?: string
  retry_after_ms?: number
  /** The password has to be given again first. */
  confirm?: boolean
}
export interface Refusal extends Problem {
  type: 'error'
  ref?: string
  room?: string
  id?: string
  epoch?: string
  head?: number
  oldest?: number
}

/** The codes of refusals of requests that may succeed later. A test compares them with the server's table. */
const temporaryCodes = new Set(['hello_required', 'rate_limited', 'server_full', 'unavailable', 'storage_full', 'internal'])

/** Whether the same request may succeed later. */
export const isTemporary = (code: string): boolean => temporaryCodes.has(code)
export interface Goodbye {
  type: 'goodbye'
  reason: string
  reconnect_after_ms?: number
}

export type Event =
  | Welcome
  | Joined
  | LiveMessage
  | LiveAmendment
  | Ack
  | History
  | Found
  | Inbox
  | Rooms
  | Members
  | Presence
  | Typing
  | Refusal
  | Goodbye
  | Me
  | State
  | ({ type: 'notifications' } & Notifications)
  | Created
  | Parted
  | { type: 'ok'; ref?: string }
  | { type: 'ping' }
  | { type: 'pong' }

/** The most names or entries in a page, by the server's limit. */
export const pageLimit = 500

/**
 * Decodes a text message as an event. Unknown types and fields are left as they are,
 * as the protocol asks. Returns undefined for anything but a JSON object.
 */
export function decode(text: string): Event | undefined {
  try {
    const value: unknown = JSON.parse(text)
    if (typeof value === 'object' && value !== null && 'type' in value) return value as Event
  } catch {
    // The caller gives up the connection: what follows cannot be trusted.
  }
  return undefined
}

/** The changes that the page has sentences for, by the type of the entry. */
const changes: Record<string, readonly string[]> = {
  member: ['joined', 'invited', 'left', 'kicked', 'banned', 'unbanned', 'muted', 'unmuted', 'role'],
  room: ['created', 'set'],
}

/** The fields of a message that only some have. */
const extras = ['account', 'bot', 'reply_to', 'edited', 'deleted', 'reactions', 'replies', 'files', 'pinned', 'pinned_at'] as const

/**
 * An entry as the page shows it: a message, or a change as a quiet line. Undefined for other kinds.
 * `asOf` is that of its page of history.
 */
export function shown(entry: Entry, asOf?: number): Message | undefined {
  if (entry.type === undefined || entry.type === 'message') {
    const whole = entry as Message
    const { seq, id, username, content, time } = whole
    const message: Message = { seq, id, username, content: content ?? '', time }
    for (const name of extras) if (whole[name] !== undefined) Object.assign(message, { [name]: whole[name] })
    if (asOf !== undefined) message.asOf = asOf
    return message
  }
  if (entry.type !== 'topic' && !changes[entry.type]?.includes((entry as { change?: string }).change ?? '')) return undefined
  const { seq, id, username, time, room: _, account: __, bot: ___, ...change } = entry as unknown as Message & { room?: string; account?: string }
  return { seq, id, username, content: '', time, change: change as unknown as Change }
}

const amendments = new Set<string | undefined>(['edit', 'delete', 'react', 'pin'])

/** Whether an entry changes a message. */
export function isAmendment(entry: Entry): entry is Entry & Amendment {
  return amendments.has(entry.type) && typeof (entry as { target?: unknown }).target === 'number'
}

/** Whether an event of any type, known or not, is an entry of a room's log. */
export function isEntry(event: object): event is LiveEntry {
  return 'room' in event && typeof event.room === 'string' && 'seq' in event && typeof event.seq === 'number'
}

/** How an account confirms a sign-in. */
export type Way = 'passkey' | 'password' | 'oidc'
