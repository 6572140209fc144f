// The part of a room's log that the page has loaded: one run of entries without a
// gap, kept as the messages among them. Usually the run reaches the newest entry and
// grows at its end; after a jump into the past it does not, until the user has read
// on to there.

import { fold, type Event } from './fold'
import type { Message } from './protocol'

/** A run of entries from `start` to `end` without a gap, kept as the messages among them. */
export interface Run {
  messages: Message[]
  start: number
  /** Less than `start` if there is no entry. */
  end: number
}

/** A page of history. */
export interface Page extends Run {
  /** More entries follow in the direction that was asked for. */
  more: boolean
}

/** The newest of the messages that answer one, and the last authors of such. */
export interface Answers {
  seq: number
  time: string
  usernames: string[]
}

/** The most authors of answers that are kept. */
const mostAuthors = 3

/** The most quoted messages outside the run that are kept. */
const mostQuoted = 500

export class Log implements Run {
  /** In the order of seq. Missing numbers belong to entries that are not messages. Only this class changes it. */
  readonly messages: Message[] = []
  start = 1
  end = 0
  /** The server may have older entries. */
  moreBefore = true
  /** The run reaches the newest entry, and grows with live ones. */
  attached = true
  /** A page has been loaded; before that, the run has only live entries. */
  loaded = false
  /** Changes of its messages were missed: the run has to be loaded again. */
  stale = false
  /** Increases when the run is replaced, which makes positions in it meaningless. */
  generation = 0
  /** The position of the first message relative to that of the generation: negative once older ones are added. */
  base = 0
  /** Messages outside the run that replies in it quote; undefined for those that the server does not have. */
  private readonly quoted = new Map<number, Message | undefined>()
  /** How many pages are on their way, and the changes that came meanwhile: a page may be older than they are. */
  private awaited = 0
  private meanwhile: Event[] = []
  /** What is known of the messages that answer those in the run, by their seq. */
  private readonly answered = new Map<number, Answers>()

  /** The message with a seq, if it is in the run. */
  at(seq: number): Message | undefined {
    const i = this.indexOf(seq)
    return i < 0 ? undefined : this.messages[i]
  }

  /** The index of a seq in `messages`, or -1. */
  indexOf(seq: number): number {
    const first = this.messages[0]?.seq
    if (first === undefined || seq < first || seq > this.end) return -1
    // Where every entry is a message, the index is a matter of counting.
    const guess = this.messages[seq - first]
    if (guess?.seq === seq) return seq - first
    return indexOf(this.messages, seq)
  }

  /** The last seq that has been read with a message: all entries up to the next message. */
  readWith(row: number): number {
    const next = this.messages[row + 1]
    return next ? next.seq - 1 : this.end
  }

  /** A message that a reply quotes, wherever it is. Undefined for one that is not there, null for one that is not known. */
  quote(seq: number): Message | undefined | null {
    return this.at(seq) ?? (this.quoted.has(seq) ? this.quoted.get(seq) : null)
  }

  /** Keeps a message that a reply quotes, or that there is none. */
  keepQuoted(seq: number, message: Message | undefined): void {
    if (this.quoted.size >= mostQuoted) this.quoted.clear()
    this.quoted.set(seq, message)
  }

  /** The messages that answer one in the run. Undefined if not all of them are there. */
  answers(seq: number): Answers | undefined {
    return this.attached ? this.answered.get(seq) : undefined
  }

  /** Folds a change into its message, if it is there. `me` is the user's name. */
  fold(event: Event, me: string): void {
    if (this.awaited > 0) this.meanwhile.push(event)
    const at = this.indexOf(event.target)
    if (at >= 0) this.messages[at] = fold(this.messages[at]!, event, me)
    const quoted = this.quoted.get(event.target)
    if (quoted) this.quoted.set(event.target, fold(quoted, event, me))
  }

  /** Loads a page, and folds into it what has changed meanwhile. */
  async load(me: string, load: () => Promise<Page>): Promise<Page> {
    this.awaited++
    try {
      const page = await load()
      for (const event of this.meanwhile) {
        const at = indexOf(page.messages, event.target)
        if (at >= 0) page.messages[at] = fold(page.messages[at]!, event, me)
      }
      return page
    } finally {
      if (--this.awaited === 0) this.meanwhile = []
    }
  }

  /** Takes a live message. One that is already there, or does not follow the run, is ignored. */
  append(message: Message): void {
    if (!this.extend(message.seq)) return
    this.messages.push(message)
    this.answer(message)
  }

  /** Takes the place of a live entry into the run; false if it is not the next one. */
  extend(seq: number): boolean {
    if (!this.attached || seq <= this.end) return false
    if (!this.loaded && this.end === 0) this.start = seq
    this.end = seq
    return true
  }

  /** Takes the page with the newest entries. */
  addNewest(page: Page): void {
    // Live entries may have come in the meantime. Only the newest of them are kept:
    // they may not reach back to the page.
    const further = this.end > page.end
    const whole = !further || this.start <= page.end + 1
    if (further && whole) {
      const live = this.messages.filter((m) => m.seq > page.end)
      this.replace({ messages: [...page.messages, ...live], start: page.start, end: this.end }, page.more, true)
    } else this.replace(page, page.more, whole)
  }

  /** Takes a page that ends before the run. */
  addOlder(page: Page): void {
    const older = page.messages.filter((m) => m.seq < this.start)
    this.splice(0, older)
    this.base -= older.length
    this.start = Math.min(this.start, page.start)
    this.moreBefore = page.more
  }

  /** Takes a page that begins after the run. With the last page the run is attached. */
  addNewer(page: Page, cursor: number): void {
    this.splice(
      this.messages.length,
      page.messages.filter((m) => m.seq > this.end),
    )
    this.end = Math.max(this.end, page.end)
    // Live entries went by while the run was apart: it is whole again only when it
    // has the newest of them.
    if (!page.more && this.end >= cursor) this.attached = true
  }

  /** Replaces the run. */
  replace(run: Run, moreBefore: boolean, attached: boolean): void {
    this.messages.length = 0
    this.answered.clear()
    this.splice(0, run.messages)
    this.start = run.start
    this.end = run.end
    this.moreBefore = moreBefore
    this.attached = attached
    this.loaded = true
    this.stale = false
    this.base = 0
    this.generation++
  }

  /** Keeps the newest `most` messages; the server has the others. */
  trim(most: number): void {
    const n = this.messages.length - most
    if (n <= 0) return
    this.messages.splice(0, n)
    this.start = this.messages[0]?.seq ?? this.end + 1
    this.base += n
    this.moreBefore = true
  }

  /** Forgets everything: the numbers now mean other entries. */
  clear(): void {
    this.messages.length = 0
    this.start = 1
    this.end = 0
    this.moreBefore = true
    this.attached = true
    this.loaded = false
    this.stale = false
    this.base = 0
    this.generation++
    this.quoted.clear()
    this.answered.clear()
  }

  /** Changes were missed: what was loaded is shown until it has been loaded again. */
  miss(): void {
    if (!this.loaded) return this.clear()
    this.stale = true
    this.attached = false
    this.quoted.clear()
  }

  private answer({ reply_to, seq, time, username }: Message): void {
    if (reply_to === undefined) return
    const before = this.answered.get(reply_to)
    const newest = before && before.seq > seq ? before : { seq, time }
    const others = before?.usernames.filter((name) => name !== username) ?? []
    // Pages of older messages come in between.
    const usernames = newest === before ? (others.length < before.usernames.length ? before.usernames : [username, ...others]) : [...others, username]
    this.answered.set(reply_to, { seq: newest.seq, time: newest.time, usernames: usernames.slice(-mostAuthors) })
  }

  private splice(at: number, added: Message[]): void {
    for (const m of added) this.answer(m)
    // Without spread arguments: a run may have 100,000 messages.
    if (at === this.messages.length) {
      for (const m of added) this.messages.push(m)
      return
    }
    const old = this.messages.slice(at)
    this.messages.length = at
    for (const m of added) this.messages.push(m)
    for (const m of old) this.messages.push(m)
  }
}

/** The index of a seq among ascending messages, or -1. */
function indexOf(messages: Message[], seq: number): number {
  let low = 0
  let high = messages.length
  while (low < high) {
    const middle = (low + high) >> 1
    if (messages[middle]!.seq < seq) low = middle + 1
    else high = middle
  }
  return messages[low]?.seq === seq ? low : -1
}
