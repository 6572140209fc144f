// What the page has loaded of a room's log: one run of messages without a gap.
// Most of the time it reaches to the newest message and grows at the end; after
// a jump into the past it does not, until reading on has brought it there.

import type { Message } from './protocol'

export class Log {
  /** In the order of seq, no number missing. Only this class changes it. */
  readonly messages: Message[] = []
  /** Older messages are kept by the server. */
  moreBefore = true
  /** The run reaches to the newest message that was given: it grows with it. */
  attached = true
  /** A page has been put in; before that, `messages` holds only what came live. */
  loaded = false
  /** Goes up when the run is another one, so that positions in it mean nothing. */
  generation = 0
  /** Where the first message stands, counted from the first one of the generation: below 0 once older ones are put in. */
  base = 0

  get first(): number | undefined {
    return this.messages[0]?.seq
  }

  get last(): number | undefined {
    return this.messages[this.messages.length - 1]?.seq
  }

  /** The message with a seq, if it is in the run. */
  at(seq: number): Message | undefined {
    const i = this.indexOf(seq)
    return i < 0 ? undefined : this.messages[i]
  }

  /** Where a seq stands in `messages`, or -1. */
  indexOf(seq: number): number {
    const first = this.first
    if (first === undefined || seq < first || seq > this.last!) return -1
    // Without a gap the place is a matter of counting; a log that was cut has one.
    const guess = this.messages[seq - first]
    if (guess?.seq === seq) return seq - first
    let low = 0
    let high = this.messages.length
    while (low < high) {
      const middle = (low + high) >> 1
      if (this.messages[middle]!.seq < seq) low = middle + 1
      else high = middle
    }
    return this.messages[low]?.seq === seq ? low : -1
  }

  /** Takes a live message; what is already there or has no place yet is ignored. */
  append(message: Message): void {
    if (this.attached && message.seq > (this.last ?? 0)) this.messages.push(message)
  }

  /** Takes a page that was asked for from the newest message backwards. */
  addNewest(page: Message[], more: boolean): void {
    // Live messages may have come in the meantime: the page ends before, with or
    // behind them.
    const last = page[page.length - 1]?.seq ?? 0
    const live = this.messages.filter((m) => m.seq > last)
    // Of what came live only the newest is kept: it may not reach back to the page.
    const whole = live.length === 0 || page.length === 0 || live[0]!.seq === last + 1
    this.replace(whole ? [...page, ...live] : page, more, whole)
  }

  /** Takes a page that ends before the first message. */
  addOlder(page: Message[], more: boolean): void {
    const first = this.first ?? Infinity
    const older = page.filter((m) => m.seq < first)
    this.splice(0, older)
    this.base -= older.length
    this.moreBefore = more
  }

  /** Takes a page that begins after the last message; without more to come the run is attached. */
  addNewer(page: Message[], more: boolean, cursor: number): void {
    const last = this.last ?? 0
    this.splice(
      this.messages.length,
      page.filter((m) => m.seq > last),
    )
    // Live messages went by while the run was apart: it is whole again only when
    // it holds the newest of them.
    if (!more && (this.last ?? 0) >= cursor) this.attached = true
  }

  /** Puts another run in the place of this one. */
  replace(run: Message[], moreBefore: boolean, attached: boolean): void {
    this.messages.length = 0
    this.splice(0, run)
    this.moreBefore = moreBefore
    this.attached = attached
    this.loaded = true
    this.base = 0
    this.generation++
  }

  /** Keeps the newest `most` messages; the server has the others. */
  trim(most: number): void {
    const n = this.messages.length - most
    if (n <= 0) return
    this.messages.splice(0, n)
    this.base += n
    this.moreBefore = true
  }

  /** Forgets everything: the numbers mean other messages now. */
  clear(): void {
    this.messages.length = 0
    this.moreBefore = true
    this.attached = true
    this.loaded = false
    this.base = 0
    this.generation++
  }

  private splice(at: number, added: Message[]): void {
    // In one go and without spreading: a run may have 100,000 messages.
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
