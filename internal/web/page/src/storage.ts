// Saves data for the next visit, in localStorage, and for this tab, in sessionStorage.
// A browser may refuse (private windows, quotas); the page then works and forgets.
//
// Tabs share localStorage. Data that two of them may write at once has a key for each
// item, or is merged with the stored value: no tab undoes what another has saved.

import type { Amend, Cursor, FileInfo, Problem } from './protocol'

export interface Kept {
  /** The name to go by, as the server spelled it. */
  username: string
  /** Whether the name is that of an account. */
  account: boolean
  /** The secret that takes the name over from an earlier connection. */
  session: string
  /** Rooms in the order of the list. */
  rooms: string[]
  /** The room that was on the screen last. */
  room: string
  /** How far each room has been read. */
  read: Record<string, Cursor>
  notify: 'never' | 'mentions' | 'all'
  /** The account that this browser is notified for while the page is closed. */
  push: string
  /** Whether others see that the user is typing. */
  typing: boolean
  language: string
  theme: 'auto' | 'light' | 'dark'
  density: 'normal' | 'compact'
  /** Whether a wide screen shows the members beside the messages. */
  members: boolean
  /** Rooms in a section of their own, above the others. */
  starred: string[]
  /** Sections of the list of rooms that are closed. */
  closed: string[]
  /** Emoji that were used last. */
  emoji: string[]
  /** The skin tone of emoji, 1 to 5. */
  tone: number
}

/** A message that is answered, or that is edited: from which version, and the text so far. `lost` is one that is not there any more. */
export type Composing =
  | { type: 'reply'; seq: number; epoch: string }
  | { type: 'edit'; seq: number; epoch: string; base: number; text: string }
  | { type: 'lost'; what: 'reply' | 'edit' }

/** A file of a message that is being written. */
export interface Attachment {
  key: string
  name: string
  /** Bytes. */
  size: number
  /** The media type, as the browser guesses it. */
  type: string
  alt: string
  /** How many bytes the server has. */
  sent: number
  /** Set once the server has all of it. */
  file?: FileInfo
  /** The server is being told the description. */
  telling?: boolean
  /** Why it was refused; it stays until the user decides. */
  problem?: Problem
  /** The address of a picture in this browser. */
  preview?: string
}

/** What is being written in a room. The text is not that of an edit. */
export interface Draft {
  text: string
  about: Composing | undefined
  /** The epoch of the thread that it is in. */
  epoch?: string | undefined
  /** Those that the server has. */
  files?: FileInfo[]
}

/** A message of the user's own, or a change of one, that has not been acknowledged. */
export interface Pending {
  room: string
  id: string
  /** The name it was written under. */
  username: string
  /** Empty in a change. */
  content: string
  /** The message that it answers. */
  reply_to?: number
  files?: FileInfo[]
  /** Set if it is no message, but changes one. */
  amend?: Amend
  /** The epoch of the message that it answers or changes. */
  epoch?: string
  /** RFC 3339, by the clock of this machine. */
  time: string
  /** Why it was refused; it stays until the user decides. */
  error?: Problem
  /** Another tab has had it acknowledged: this one will see it in the log. */
  elsewhere?: boolean
  /** It waits for the list of emoji, because it has a name of one, or was written after one that does. */
  late?: boolean
}

/** The position in a tab when it was reloaded. */
export interface Spot {
  /** The address at that moment. */
  path: string
  room: string
  seq: number
  offset: number
}

const prefix = 'kaban.'

function get(store: () => Storage, key: string): string | undefined {
  try {
    return store().getItem(prefix + key) ?? undefined
  } catch {
    return undefined
  }
}

function set(store: () => Storage, key: string, value: string | undefined): void {
  try {
    if (value === undefined) store().removeItem(prefix + key)
    else store().setItem(prefix + key, value)
  } catch {
    // Full or forbidden: the user could do nothing about it now.
  }
}

const shared = () => localStorage
const own = () => sessionStorage

function parse<T>(text: string | null | undefined): T | undefined {
  try {
    return text == null ? undefined : (JSON.parse(text) as T)
  } catch {
    return undefined
  }
}

export function load<K extends keyof Kept>(key: K): Kept[K] | undefined {
  return parse<Kept[K]>(get(shared, key))
}

export function save<K extends keyof Kept>(key: K, value: Kept[K] | undefined): void {
  set(shared, key, value === undefined ? undefined : JSON.stringify(value))
}

/** Calls a function when another tab changes a key. */
export function onKept<K extends keyof Kept>(key: K, changed: (value: Kept[K] | undefined) => void): void {
  addEventListener('storage', (event) => {
    if (event.storageArea === localStorage && event.key === prefix + key) changed(parse<Kept[K]>(event.newValue))
  })
}

/** Adds a room to the saved list, or removes it. */
export function keepRoom(name: string, wanted: boolean): void {
  const names = load('rooms') ?? []
  if (names.includes(name) === wanted) return
  save('rooms', wanted ? [...names, name] : names.filter((n) => n !== name))
}

/** Saves how far rooms have been read. The farthest position counts: another tab may know more. */
export function keepReads(reads: Record<string, Cursor>): void {
  const all = load('read') ?? {}
  for (const [room, { epoch, seq }] of Object.entries(reads)) {
    const before = all[room]
    if (before?.epoch !== epoch || before.seq < seq) all[room] = { epoch, seq }
  }
  save('read', all)
}

// ---- Pending messages: a key for each ----

const pendingKey = (id: string) => `pending.${id}`

export function keepPending(pending: Pending): void {
  set(shared, pendingKey(pending.id), JSON.stringify({ ...pending, late: undefined }))
}

/** Removes a message that is acknowledged, or that the user has discarded. */
export function dropPending(id: string, unwanted: boolean): void {
  // Other tabs see both changes, and so learn which of the two it was.
  if (unwanted) set(shared, pendingKey(id), 'null')
  set(shared, pendingKey(id), undefined)
}

export function allPending(): Pending[] {
  const found: Pending[] = []
  try {
    for (let i = 0; i < localStorage.length; i++) {
      const key = localStorage.key(i)
      if (!key?.startsWith(prefix + pendingKey(''))) continue
      const pending = parse<Pending>(localStorage.getItem(key))
      if (pending) found.push(pending)
    }
  } catch {
    // Then there is none.
  }
  return found.sort((a, b) => (a.time < b.time ? -1 : 1))
}

/** Calls a function when another tab adds, changes or removes a pending message. */
export function onPending(changed: (id: string, to: Pending | 'sent' | 'unwanted') => void): void {
  addEventListener('storage', (event) => {
    const start = prefix + pendingKey('')
    if (event.storageArea !== localStorage || !event.key?.startsWith(start)) return
    // The removal of a discarded message: the change before it has said so.
    if (event.newValue === null && event.oldValue === 'null') return
    changed(event.key.slice(start.length), event.newValue === null ? 'sent' : (parse<Pending>(event.newValue) ?? 'unwanted'))
  })
}

// ---- Drafts: each tab has its own, and the last one is kept for the next visit ----

const draftKey = (room: string) => `draft.${room}`
const aboutKey = (room: string) => `about.${room}`
const epochKey = (room: string) => `epoch.${room}`
const filesKey = (room: string) => `files.${room}`

export function draftOf(room: string): Draft {
  const from = get(own, draftKey(room)) === undefined ? shared : own
  return { text: get(from, draftKey(room)) ?? '', about: parse<Composing>(get(from, aboutKey(room))), epoch: get(from, epochKey(room)), files: parse<FileInfo[]>(get(own, filesKey(room))) ?? [] }
}

export function keepDraft(room: string, { text, about, epoch, files }: Draft): void {
  const before = get(own, draftKey(room))
  set(own, draftKey(room), text)
  set(own, aboutKey(room), about && JSON.stringify(about))
  set(own, epochKey(room), epoch)
  // Only in this tab: two messages cannot have the same files.
  set(own, filesKey(room), files?.length ? JSON.stringify(files) : undefined)
  // The draft of another tab stays.
  if (text === '' && before !== undefined && get(shared, draftKey(room)) !== before) return
  set(shared, draftKey(room), text === '' ? undefined : text)
  // An edit goes on only where it was begun: the next visit may be days later.
  set(shared, aboutKey(room), text !== '' && about?.type === 'reply' ? JSON.stringify(about) : undefined)
  set(shared, epochKey(room), text === '' ? undefined : epoch)
}

/** The saved drafts of a room's threads, the oldest thread first. */
function threadsOf(room: string): string[] {
  const begin = draftKey(`${room}#`)
  const names = new Set([shared, own].flatMap((store) => keysOf(store, [begin])).map((key) => key.slice(draftKey('').length)))
  const number = (name: string) => Number(name.slice(name.lastIndexOf('#') + 1))
  return [...names].sort((a, b) => number(a) - number(b))
}

/** Forgets the drafts of a room's threads that are of another epoch: their numbers are other messages'. Returns their texts. */
export function takeStrayDrafts(room: string, epoch: string): string[] {
  return threadsOf(room).flatMap((name) => {
    const draft = draftOf(name)
    if (draft.text === '' || draft.epoch === undefined || draft.epoch === epoch) return []
    keepDraft(name, { text: '', about: undefined })
    return [draft.text]
  })
}

/** Moves the drafts of a room's threads to another name of the room; those that it has under that name stay. */
export function moveThreadDrafts(room: string, renamed: string): void {
  for (const name of threadsOf(room)) {
    const draft = draftOf(name)
    const to = renamed + name.slice(room.length)
    if (draftOf(to).text === '') keepDraft(to, draft)
    keepDraft(name, { text: '', about: undefined })
  }
}

/** The beginnings of the keys of what belongs to an account. */
const belongings = ['room', 'read', 'starred', draftKey(''), aboutKey(''), epochKey(''), filesKey(''), pendingKey('')]

/**
 * Moves what belongs to an account from keys with one beginning to keys with another; without that, forgets it.
 * `everywhere` is also what the tabs share.
 */
export function moveBelongings(from: string, to: string | undefined, everywhere: boolean): void {
  for (const store of everywhere ? [shared, own] : [own]) {
    for (const key of keysOf(store, belongings.map((begin) => from + begin))) {
      const value = get(store, key)
      // Other tabs see that a message is not sent, but unwanted.
      set(store, key, 'null')
      set(store, key, undefined)
      if (to === undefined) continue
      const name = to + key.slice(from.length)
      // A draft that this tab has there would hide the shared one.
      set(own, name, undefined)
      set(store, name, value)
    }
  }
}

/** The keys with one of some beginnings, without the prefix. */
function keysOf(store: () => Storage, begins: string[]): string[] {
  try {
    return Array.from({ length: store().length }, (_, i) => store().key(i) ?? '')
      .filter((key) => begins.some((begin) => key.startsWith(prefix + begin)))
      .map((key) => key.slice(prefix.length))
  } catch {
    return [] // then there are none
  }
}

// ---- The position, for a reload ----

export function keepSpot(spot: Spot | undefined): void {
  set(own, 'spot', spot && JSON.stringify(spot))
}

export function takeSpot(): Spot | undefined {
  const spot = parse<Spot>(get(own, 'spot'))
  keepSpot(undefined)
  return spot
}
