// The part of a room's messages that is on the screen. Only the rows near it are in
// the document, so that a hundred thousand messages scroll like a hundred. The
// position of the reader is held at a message, not at a pixel: whatever is put in
// above, or turns out to be higher than estimated, the text under the reader's eyes
// does not move.

import { signal } from '@preact/signals'
import { createRef } from 'preact'
import { startsGroup } from './dividers'
import { loadNewer, loadOlder } from './history'
import type { Message } from './protocol'
import { markRead } from './reading'
import { Rows } from './rows'
import { attentive, covered, noLine, target, type Room } from './state'

/** Pixels that are rendered beyond both edges of the screen. */
const overscan = 400
/** The part of them that must be left before more is rendered. */
const margin = 150
/** More new messages than this in a frame are a rush. */
const rush = 5
/** How near to the end of the loaded messages more are asked for, in pixels. */
const loadWithin = 1500
/** A row with no more pixels than this on the screen counts as scrolled away. */
const almost = 4
/** The height of the bar with the name of an author, in pixels, as style/room.css has it. */
const bar = 34

export class Viewport {
  /** The element that scrolls, and in it the one with the rows between two spaces. */
  readonly scrollerRef = createRef<HTMLDivElement>()
  readonly listRef = createRef<HTMLDivElement>()
  /** The rows that are in the document. */
  start = 0
  end = 0
  /** The message that a link or a search has led to. */
  readonly marked = signal(0)
  /** The newest message is not on the screen. */
  readonly away = signal(false)
  /** The message at the upper edge if its author's name is above it. */
  readonly pinned = signal<Message | undefined>(undefined)
  /** The last visit that has been shown. */
  visit = 0
  private room!: Room
  private readonly rows = new Rows()
  private lastTop = 0
  /** The generation of the log that the reader has been placed in. */
  private placed = -1
  private shownEnd = 0
  /** Many messages come at once: they are gone before anybody could scroll back to them. */
  private rushing = false

  constructor(private readonly rerender: () => void) {}

  private get scroller(): HTMLDivElement {
    return this.scrollerRef.current!
  }

  get list(): HTMLDivElement {
    return this.listRef.current!
  }

  /** Takes what has changed in the room, and decides which rows are rendered. */
  follow(room: Room): void {
    this.room = room
    const { log } = room
    this.rows.follow(log)
    const newestRow = log.base + log.messages.length
    this.rushing = newestRow - this.shownEnd > rush
    this.shownEnd = newestRow
    this.place()
    ;[this.start, this.end] = this.range()
  }

  /** Measures the rows and puts the reader in place, after anything has changed. */
  arrange(): void {
    const news = this.measure()
    this.settle()
    // Rows that turned out lower than estimated may leave part of the screen empty.
    if (news) {
      const [start, end] = this.range()
      if (start < this.start || end > this.end) this.rerender()
    }
    this.observe()
  }

  scrolled(): void {
    const { log } = this.room
    const { scrollTop: top, scrollHeight, clientHeight } = this.scroller
    const moved = top - this.lastTop
    this.lastTop = top
    if (Math.abs(moved) < 0.5) return
    const atBottom = scrollHeight - top - clientHeight < 4
    // Only scrolling down means to follow: a window that grows moves things too.
    if (atBottom && moved > 0 && log.attached) this.room.following = true
    else if (!atBottom && moved < 0) this.room.following = false
    this.hold()
    const above = this.rows.top(this.start) + this.listTop()
    const below = this.rows.top(this.end) + this.listTop()
    if ((this.start > 0 && top - above < margin) || (this.end < this.rows.count && below - top - clientHeight < margin)) this.rerender()
    this.observe()
  }

  /** Acts on the reader's position: marks messages as read, loads more, shows the button to the newest. */
  observe(): void {
    const { room, scroller } = this
    const { log } = room
    const { messages } = log
    const fromBottom = scroller.scrollHeight - scroller.scrollTop - scroller.clientHeight
    // At the end, with nothing missed still to come, the reader follows.
    if (!room.following && log.loaded && log.attached && fromBottom < 4 && log.end >= room.head) room.following = true
    this.away.value = !log.attached || (!room.following && fromBottom > 40)
    if (log.loaded && scroller.scrollTop < loadWithin && !room.loadFailed.value) void loadOlder(room)
    if (!log.attached && fromBottom < loadWithin) void loadNewer(room)
    if (attentive.value && !covered.value && log.loaded) {
      const last = room.following ? messages.length - 1 : this.rows.at(scroller.scrollTop + scroller.clientHeight - this.listTop() - 4)
      const row = room.following || this.rowEnds(last) ? last : last - 1
      if (messages.length === 0 ? log.attached && !log.moreBefore : row >= 0) markRead(room, log.readWith(row))
    }
  }

  /** Moves the reader if there is a reason to: a message to be shown, or another run of messages. */
  private place(): void {
    const { room } = this
    const { log } = room
    const line = room.line.value
    const goal = target.value
    if (goal && goal.room === room.name && goal.visit !== this.visit && log.at(goal.seq)) {
      this.visit = goal.visit
      this.placed = log.generation
      this.marked.value = goal.seq
      room.following = false
      room.anchor = { seq: goal.seq, offset: (this.scrollerRef.current?.clientHeight ?? 600) * 0.3 }
    }
    if (!log.loaded || this.placed === log.generation) return
    this.placed = log.generation
    const unread = line === noLine ? undefined : log.messages.find((m) => m.seq > line)
    const reloaded = !room.following && room.anchor !== undefined && log.indexOf(room.anchor.seq) >= 0
    if (unread && (room.unread.value > 0 || room.unreadFrom.value !== undefined) && !goal && !reloaded) {
      room.following = false
      room.anchor = { seq: unread.seq, offset: 120 }
    }
  }

  private anchorRow(): number {
    const { anchor, log } = this.room
    return anchor === undefined ? -1 : log.indexOf(anchor.seq)
  }

  /** The rows to be rendered: those on the screen, and some beyond. */
  private range(): [number, number] {
    const { room, rows } = this
    const height = this.scrollerRef.current?.clientHeight ?? 800
    const row = this.anchorRow()
    if (room.following || row < 0) {
      return [rows.at(rows.top(rows.count) - height - (this.rushing ? 0 : overscan)), rows.count]
    }
    const top = rows.top(row) - room.anchor!.offset
    return [rows.at(Math.max(0, top - overscan)), Math.min(rows.count, rows.at(top + height + overscan) + 1)]
  }

  /** Where the list begins in the scroller's content. */
  private listTop(): number {
    return this.list.offsetTop
  }

  private rowEnds(row: number): boolean {
    return this.rows.top(row + 1) + this.listTop() <= this.scroller.scrollTop + this.scroller.clientHeight + 4
  }

  private measure(): boolean {
    let news = false
    const { children } = this.list
    for (let i = 1; i < children.length - 1; i++) {
      const height = children[i]!.getBoundingClientRect().height
      if (this.rows.measured(this.start + i - 1, height)) news = true
    }
    return news
  }

  /** Gives the spaces the heights of the rows that are not rendered, and puts the reader where they are to be. */
  private settle(): void {
    const { list, room, rows, scroller } = this
    ;(list.firstElementChild as HTMLElement).style.height = `${rows.top(this.start)}px`
    ;(list.lastElementChild as HTMLElement).style.height = `${rows.top(rows.count) - rows.top(this.end)}px`
    const row = this.anchorRow()
    if (room.following || row < 0) scroller.scrollTop = scroller.scrollHeight
    else {
      const to = this.listTop() + rows.top(row) - room.anchor!.offset
      if (Math.abs(scroller.scrollTop - to) >= 1) scroller.scrollTop = to
    }
    this.lastTop = scroller.scrollTop
    if (room.following) this.hold()
  }

  /** Holds the reader's position: the message at the upper edge. */
  private hold(): void {
    const { room, rows } = this
    const { messages } = room.log
    const top = this.scroller.scrollTop
    const listTop = this.listTop()
    const row = rows.at(Math.max(0, top - listTop))
    const message = messages[row]
    if (message) room.anchor = { seq: message.seq, offset: listTop + rows.top(row) - top }
    const edge = rows.at(Math.max(0, top + almost - listTop))
    // It must not cover the name of the next author, whose messages would pass for those of this one.
    const barEnd = rows.at(Math.max(0, top + bar - listTop))
    let named = edge === 0 || top <= listTop
    for (let i = edge; i <= barEnd && !named; i++) named = startsGroup(room, i)
    this.pinned.value = named ? undefined : messages[edge]
  }
}
