// The state of the page, as signals: a component that reads one is rendered again when
// it changes. Each room has signals of its own, so that a key or a message does not
// render the whole list.

import { computed, signal, type Signal } from '@preact/signals'
import type { Server } from './api'
import type { Status } from './connection'
import type { Event } from './fold'
import { Log } from './log'
import type { Account, Cursor, FileInfo, Flag, Hit, Level, Member, Message, Problem, RoomInfo, RoomKind, RoomRole } from './protocol'
import { preference } from './preference'
import { mayCreate, type Facts } from './rights'
import type { Panel, Way } from './route'
import { draftOf, load, type Attachment, type Composing, type Pending } from './storage'

/** No unread line. 0 is a place for one: above a room's first message. */
export const noLine = -1

/** A search, and what it has found so far. */
export interface Finding {
  query: string
  /** The only room in which to look; undefined is all. */
  room: string | undefined
  hits: Hit[]
  busy: boolean
  /** There may be more, behind `next`. */
  more: boolean
  next: number | undefined
  /** There may be hits that the server has not looked at. */
  partial: boolean
  problem: Problem | undefined
}

/** A field that messages are written in: that of a room, or that of a thread in it. */
export interface Field {
  readonly room: Room
  /** The message that whatever is sent from it answers. */
  readonly seq?: number
  /** The loaded messages beside it. */
  readonly log: Log
  /** Of its element. */
  readonly input: string
  /** Of its saved draft. */
  readonly key: string
  readonly epoch?: string | undefined
  readonly draft: Signal<string>
  /** What it is for, if not for a new message. */
  readonly composing: Signal<Composing | undefined>
  readonly files: Signal<Attachment[]>
  /** What is in it is sent once all files are there. */
  readonly waiting: Signal<boolean>
  /** Sends what is in it, if it has been on the screen. */
  submit?: () => void
}

/** The files of a saved draft. */
const attached = (files: FileInfo[] = []): Signal<Attachment[]> =>
  signal(files.map((file) => ({ key: file.file, name: file.name, size: file.size, type: file.type, alt: file.alt ?? '', sent: file.size, file })))

/** A message and those that answer it, which are `log`: a filter of the room's flow. */
export class Thread implements Field {
  readonly log = new Log()
  readonly input = 'reply'
  readonly key: string
  /** Of its draft; undefined if it was not known when that was begun. */
  readonly epoch: string | undefined
  readonly draft: Signal<string>
  readonly composing: Signal<Composing | undefined>
  readonly files: Signal<Attachment[]>
  readonly waiting = signal(false)
  submit?: () => void
  readonly loading = signal(false)
  readonly failed = signal(false)

  constructor(
    readonly room: Room,
    readonly seq: number,
  ) {
    // No name of a room has a #.
    this.key = `${room.name}#${seq}`
    const { text, about, epoch, files } = draftOf(this.key)
    this.files = attached(files)
    this.epoch = epoch ?? room.cursor?.epoch
    this.draft = signal(text)
    this.composing = signal(about)
  }
}

/** A room that this client is in. */
export class Room implements Field {
  readonly room = this
  readonly input = 'input'
  readonly key: string
  readonly log = new Log()
  /** The thread that is open beside it. */
  readonly thread = signal<Thread | undefined>(undefined)
  /** What the server has found to be pinned; undefined until asked for. */
  readonly pins = signal<Finding | undefined>(undefined)
  /** What was pinned since then, wherever it is. */
  readonly pinned = new Set<number>()
  /** Counts changes of the log and of pending messages: read it to be rendered again. */
  readonly version = signal(0)
  /** The server has delivered everything up to here. Undefined before the first join. */
  cursor: Cursor | undefined
  /** The head at the moment of the last join: catching up until the cursor is there. */
  head = 0
  readonly joined = signal(false)
  /** Nothing is sent: the server has refused a message, and wants it and those behind it later. */
  refused = false
  /**
   * Set while it is not known whether the room exists; if it does not and nobody has asked
   * to create it; and if the user was removed from it, and there is no other room to show.
   */
  readonly doubt = signal<'asking' | 'missing' | 'closed' | undefined>(undefined)
  /** The reader is at the newest message and stays there. The viewport sets it. */
  following = true
  /** The reader's position otherwise: a message, and how far below the top edge it begins, in pixels. */
  anchor: { seq: number; offset: number } | undefined
  /** The user has read everything up to here. */
  readonly read = signal(0)
  /** The newest seq that is known to exist. */
  readonly newest = signal(0)
  /** The unread line stands above the first message after this seq; `noLine` for none. */
  readonly line = signal(noLine)
  /** Sorted by username; undefined until asked for. */
  readonly members = signal<Member[] | undefined>(undefined)
  /** Somebody may have come or gone since: they are asked for again when the room is shown. */
  membersOld = false
  /** A string, so that a presence changes nothing that is shown. */
  private readonly named = computed(() => JSON.stringify(this.members.value?.filter((m) => m.name && m.name !== m.username).map((m) => [m.username, m.name]) ?? []))
  /** The display names of members by username, if they differ. */
  readonly names = computed(() => new Map<string, string>(JSON.parse(this.named.value)))
  readonly memberCount = signal(0)
  /** Those that are typing, but the user, in the order in which they began. */
  readonly typing = signal<string[]>([])
  /** The user wants to read again from this entry on. Reading there clears it. */
  readonly unreadFrom = signal<number | undefined>(undefined)
  /** The user has just set that, and has not left the room since: nothing counts as read. */
  held = false
  /** Where the unread line stands because the user has set that; 0 if it does not. */
  flagged = 0
  /** How many unread messages mention the user. The server counts them for accounts, the page for visitors. */
  readonly mentions = signal(0)
  readonly loadingOlder = signal(false)
  readonly loadingNewer = signal(false)
  readonly loadFailed = signal(false)
  /** Messages before this one are no longer kept, and were missed. */
  readonly gapBefore = signal(0)
  /** How many of the entries after `read` do not count as unread: the user's own, and changes. */
  readonly uncounted = signal(0)
  readonly unread = computed(() => Math.max(0, this.newest.value - this.read.value - this.uncounted.value))
  /** It has something new that the user wants to see. */
  readonly news = computed(() => (this.unread.value > 0 && this.notify.value !== 'none') || this.unreadFrom.value !== undefined)
  /** The number to show: of all messages, or of mentions only. */
  readonly badge = computed(() => (this.notify.value === 'all' ? this.unread.value : this.mentions.value))
  /** Whether the user is in it. An account can also read public rooms from outside. */
  readonly member = signal(true)
  readonly kind = signal<RoomKind>('public')
  readonly topic = signal('')
  readonly role = signal<RoomRole>('member')
  readonly flags = signal<Flag[]>([])
  /** How much of it new members see, if it is private and the server says so. */
  readonly history = signal<'all' | 'joined' | undefined>(undefined)
  readonly notify = signal<Level>('all')
  /** What to call it. */
  readonly title = signal<string>('')
  /** How far the server knows that the user has read. */
  told = 0
  /** The message of the last notification. */
  notified = 0
  /** Whether it is the room on the screen. */
  readonly here = computed(() => current.value === this.name)
  readonly draft = signal('')
  readonly composing = signal<Composing | undefined>(undefined)
  readonly files: Signal<Attachment[]>
  readonly waiting = signal(false)
  submit?: () => void
  readonly drafted = computed(() => this.draft.value !== '' || this.files.value.length > 0)

  constructor(readonly name: string) {
    this.key = name
    const { text, about, files } = draftOf(name)
    this.files = attached(files)
    this.draft.value = text
    this.composing.value = about
    this.title.value = name
    if (name.startsWith('@')) this.kind.value = 'direct'
  }

  changed(): void {
    this.version.value++
  }

  /** A message that is loaded, wherever it is shown: see Log.quote. */
  message(seq: number): Message | undefined | null {
    const quoted = this.log.quote(seq)
    return quoted ?? this.thread.peek()?.log.at(seq) ?? quoted
  }

  /** Folds a change into its message, wherever that is shown. */
  fold(event: Event): void {
    if (event.type === 'pin' && event.on && this.pins.peek()) this.pinned.add(event.target)
    this.log.fold(event, username.peek())
    this.thread.peek()?.log.fold(event, username.peek())
  }

  /** Changes were missed: what was loaded is shown until it has been loaded again. */
  miss(): void {
    this.pinned.clear()
    this.log.miss()
    this.thread.peek()?.log.miss()
  }

  /** Forgets the loaded messages. */
  clear(): void {
    this.pinned.clear()
    this.log.clear()
    this.thread.peek()?.log.clear()
  }
}

export type Dialog = 'emoji' | 'switcher' | 'keys' | 'settings' | 'create' | 'direct' | 'invite' | 'room' | 'member' | 'leave' | undefined

/** What fills the window. `starting` lasts until the server has said who may come in. */
export const screen = signal<'starting' | 'name' | 'sign-in' | 'sign-up' | 'claim' | 'invite' | 'device' | 'chat'>('starting')
/** The page outside the rooms that the address named, with the secret of its link. */
export const way = signal<Way | undefined>(undefined)
/** Counts such pages: another link in the same tab begins anew. */
export const waysTaken = signal(0)
/** What anybody may know of the server; undefined before it has said so. */
export const server = signal<Server | undefined>(undefined)
/** The account that is signed in; undefined for visitors. */
export const account = signal<Account | undefined>(undefined)
/** The server has ended the session of an account. */
export const ended = signal(false)
/** The name to go by; empty until the first join. */
export const username = signal(load('username') ?? '')
export const status = signal<Status>('closed')
/** Why the server lets nobody in at the moment; undefined if that is not the reason for waiting. */
export const barred = signal<Problem | undefined>(undefined)
/** Why the name was refused. */
export const refusal = signal<Problem | undefined>(undefined)
export const limits = signal<{ username: number; content: number; topic?: number }>({ username: 32, content: 5000 })
/** The rooms this client is in, in the order of the list. */
export const rooms = signal<Room[]>([])
/** Whether the user has gone to the room on the screen, and not the page by itself. */
export const asked = signal(false)
/** The name of the room on the screen. */
export const current = signal('lobby')
/** Every room of the server, for the switcher. */
export const directory = signal<RoomInfo[]>([])
export const pending = signal<Pending[]>([])
/** New messages of the room on the screen, for screen readers. */
export const spoken = signal<Message[]>([])
export const dialog = signal<Dialog>(undefined)
/** What an emoji is chosen for: the message that it is a reaction to, in its row, or the field with an id. */
export type EmojiFor = { seq: number; row: string } | { input: string }
/** What one is chosen for now, and where that was asked for. */
export const emojiFor = signal<(EmojiFor & { at: DOMRect }) | undefined>(undefined)
/** The name that a dialog is about: of a member, or of a room to create. */
export const subject = signal('')
/** The drawer that is open on a narrow screen. */
export const drawer = signal<'rooms' | 'members' | undefined>(undefined)
/** What is shown beside the room on the screen. */
export const panel = signal<Panel | undefined>(undefined)
const besideScreen = matchMedia('(min-width: 901px)')
/** Whether a panel fits beside the messages; the style sheet has the same number. */
export const beside = signal(besideScreen.matches)
besideScreen.addEventListener('change', () => (beside.value = besideScreen.matches))
/** Whether a panel is in front of the messages. */
export const covered = computed(() => panel.value !== undefined && !beside.value)
/** The message to go to and to mark, from a link or a search. */
export const target = signal<{ room: string; seq: number; visit: number; focus: () => boolean } | undefined>(undefined)
/** The error of the user's last action. */
export const notice = signal<Problem | undefined>(undefined)
/** Whether the user is looking at the page. */
export const attentive = signal(document.visibilityState === 'visible' && document.hasFocus())
export const notifyWhen = preference('notify', 'never')
/** Whether others see that the user is typing. */
export const showTyping = preference('typing', true)

/** Whether the user may make a room of any kind. */
export const makesRooms = computed(() => (['public', 'private'] as const).some((kind) => mayCreate(account.value?.role, kind, server.value)))

/** The rooms by their names. */
export const byName = computed(() => new Map(rooms.value.map((r) => [r.name, r])))

export function find(name: string): Room | undefined {
  return byName.peek().get(name)
}

/** The room of a name, added to the list if it is not there. It is not joined here. */
export function add(name: string): Room {
  const there = find(name)
  if (there) return there
  const room = new Room(name)
  rooms.value = [...rooms.value, room]
  return room
}

/** What decides about the rights in a room. */
export function factsOf(room: Room): Facts {
  return { server: account.value?.role, kind: room.kind.value, member: room.member.value, role: room.role.value, flags: room.flags.value }
}

export const room = computed(() => byName.value.get(current.value))
const isNew = (r: Room) => r.news.value || r.badge.value > 0
/** Whether another room than the one on the screen has something new. */
export const newsElsewhere = computed(() => rooms.value.some((r) => !r.here.value && isNew(r)))
export const news = computed(() => rooms.value.some(isNew))
export const badgeTotal = computed(() => rooms.value.reduce((sum, r) => sum + r.badge.value, 0))
export const mentionsTotal = computed(() => rooms.value.reduce((sum, r) => sum + r.mentions.value, 0))
