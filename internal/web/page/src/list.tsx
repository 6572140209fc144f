// The messages of a room. Only the rows near the reader are in the document, so
// that a hundred thousand messages scroll like a hundred. The position of the
// reader is held at a message, not at a pixel: whatever is put in above, or turns
// out to be higher than thought, the text under the reader's eyes stays.

import { useSignal, type Signal } from '@preact/signals'
import { useEffect, useLayoutEffect, useRef, useState } from 'preact/hooks'
import { focusInput } from './focus'
import { jumpToNewest, loadNewer, loadOlder } from './history'
import { MessageRow, PendingRow } from './message'
import { Avatar, nickClass } from './nick'
import type { Message } from './protocol'
import { markRead } from './reading'
import { pathOf } from './route'
import { Rows } from './rows'
import { attentive, noLine, pending, status, target, username, type Room } from './state'
import { count, dayOf, t, timeOf } from './texts'
import { ChevronDown, Link, Speech } from './symbols'
import { CopyButton, follow, point } from './toolbar'

/** Pixels that are rendered beyond both edges of what is seen. */
const overscan = 400
/** The part of them that must be left before more is rendered. */
const margin = 150
/** More new messages than this in a frame are a rush. */
const rush = 5
/** How near to the end of what is loaded more is asked for, in pixels. */
const loadWithin = 1500
/** A row of which no more than so many pixels are seen is over. */
const almost = 4
/** Messages of one author within so many milliseconds stand under one name, which comes again after that. */
const groupWithin = 5 * 60_000

export function MessageList({ room }: { room: Room }) {
  const scroller = useRef<HTMLDivElement>(null)
  const list = useRef<HTMLDivElement>(null)
  const [rows] = useState(() => new Rows())
  const [, rerender] = useState(0)
  // Always the same one: a row with nothing new is not rendered.
  const [again] = useState(() => () => rerender((n) => n + 1))
  const lastTop = useRef(0)
  const visit = useRef(0)
  const placed = useRef(-1)
  const shownEnd = useRef(0)
  const marked = useSignal(0)
  const away = useSignal(false)
  const pinned = useSignal<Message | undefined>(undefined)

  void room.version.value
  const { log } = room
  const { messages } = log
  rows.follow(log)
  // So many new ones that they are gone before anybody scrolls back to them.
  const newestRow = log.base + messages.length
  const rushing = newestRow - shownEnd.current > rush
  shownEnd.current = newestRow
  const line = room.line.value
  const waiting = pending.value.filter((p) => p.room === room.name)

  // A link or a search wants a message to be shown.
  const goal = target.value
  if (goal && goal.room === room.name && goal.visit !== visit.current && log.at(goal.seq)) {
    visit.current = goal.visit
    placed.current = log.generation
    marked.value = goal.seq
    room.following = false
    room.anchor = { seq: goal.seq, offset: (scroller.current?.clientHeight ?? 600) * 0.3 }
  }
  // Another run of messages: begin at the unread line if there is one.
  if (log.loaded && placed.current !== log.generation) {
    placed.current = log.generation
    const unread = line === noLine ? undefined : messages.find((m) => m.seq > line)
    const reloaded = !room.following && room.anchor !== undefined && log.indexOf(room.anchor.seq) >= 0
    if (unread && room.unread.value > 0 && !goal && !reloaded) {
      room.following = false
      room.anchor = { seq: unread.seq, offset: 120 }
    }
  }

  const anchorRow = () => (room.anchor === undefined ? -1 : log.indexOf(room.anchor.seq))

  /** The rows to be rendered: those that are seen, and some beyond. */
  const range = (): [number, number] => {
    const height = scroller.current?.clientHeight ?? 800
    const row = anchorRow()
    if (room.following || row < 0) {
      return [rows.at(rows.top(rows.count) - height - (rushing ? 0 : overscan)), rows.count]
    }
    const top = rows.top(row) - room.anchor!.offset
    return [rows.at(Math.max(0, top - overscan)), Math.min(rows.count, rows.at(top + height + overscan) + 1)]
  }
  const [start, end] = range()

  /** Where the list stands in the scroller's content. */
  const listTop = () => list.current!.offsetTop

  const spaces = () => {
    const box = list.current!
    ;(box.firstElementChild as HTMLElement).style.height = `${rows.top(start)}px`
    ;(box.lastElementChild as HTMLElement).style.height = `${rows.top(rows.count) - rows.top(end)}px`
  }

  /** Puts the reader where they are to be, after anything has changed. */
  const settle = () => {
    const el = scroller.current!
    spaces()
    const row = anchorRow()
    if (room.following || row < 0) el.scrollTop = el.scrollHeight
    else {
      const to = listTop() + rows.top(row) - room.anchor!.offset
      if (Math.abs(el.scrollTop - to) >= 1) el.scrollTop = to
    }
    lastTop.current = el.scrollTop
    if (room.following) hold()
  }

  /** Keeps where the reader is: the message at the upper edge. */
  const hold = () => {
    const top = scroller.current!.scrollTop
    const row = rows.at(Math.max(0, top - listTop()))
    const message = messages[row]
    if (message) room.anchor = { seq: message.seq, offset: listTop() + rows.top(row) - top }
    // The author of a row whose name is above the edge is said there.
    const edge = rows.at(Math.max(0, top + almost - listTop()))
    pinned.value = top > listTop() && edge > 0 && !startsGroup(edge) ? messages[edge] : undefined
  }

  const measure = (): boolean => {
    let news = false
    const { children } = list.current!
    for (let i = 1; i < children.length - 1; i++) {
      const height = children[i]!.getBoundingClientRect().height
      if (rows.measured(start + i - 1, height)) news = true
    }
    return news
  }

  /** What follows from where the reader is: what is read, what to load, the button. */
  const observe = () => {
    const el = scroller.current!
    const fromBottom = el.scrollHeight - el.scrollTop - el.clientHeight
    // At the end, with nothing missed to come: there is no other place to be.
    if (!room.following && log.loaded && log.attached && fromBottom < 4 && log.end >= room.head) room.following = true
    away.value = !log.attached || (!room.following && fromBottom > 40)
    if (log.loaded && el.scrollTop < loadWithin && !room.loadFailed.value) void loadOlder(room)
    if (!log.attached && fromBottom < loadWithin) void loadNewer(room)
    if (attentive.value && log.loaded) {
      const last = room.following ? messages.length - 1 : rows.at(el.scrollTop + el.clientHeight - listTop() - 4)
      const row = room.following || rowEnds(last) ? last : last - 1
      if (messages.length === 0 ? log.attached && !log.moreBefore : row >= 0) markRead(room, log.readWith(row))
    }
  }
  const rowEnds = (row: number) => rows.top(row + 1) + listTop() <= scroller.current!.scrollTop + scroller.current!.clientHeight + 4

  const arrange = () => {
    const news = measure()
    settle()
    // Rows that turned out lower than thought may leave part of the view empty.
    if (news) {
      const [s, e] = range()
      if (s < start || e > end) again()
    }
    observe()
  }
  const arranged = useRef(arrange)
  arranged.current = arrange
  useLayoutEffect(arrange)

  const onScroll = () => {
    const el = scroller.current!
    const top = el.scrollTop
    const moved = top - lastTop.current
    lastTop.current = top
    if (Math.abs(moved) < 0.5) return
    const atBottom = el.scrollHeight - top - el.clientHeight < 4
    // Only who scrolls down wants to follow: a window that grows moves things too.
    if (atBottom && moved > 0 && log.attached) room.following = true
    else if (!atBottom && moved < 0) room.following = false
    hold()
    const above = rows.top(start) + listTop()
    const below = rows.top(end) + listTop()
    if ((start > 0 && top - above < margin) || (end < rows.count && below - top - el.clientHeight < margin)) again()
    observe()
  }

  // The window, the input below and the text's width change heights without a render.
  useEffect(() => {
    const observer = new ResizeObserver(() => {
      if (list.current) arranged.current()
    })
    observer.observe(scroller.current!)
    observer.observe(list.current!)
    return () => observer.disconnect()
  }, [])

  useEffect(() => {
    if (marked.value === 0) return
    const row = list.current?.querySelector<HTMLElement>(`[data-seq="${marked.value}"]`)
    // It may have taken a while to load: whoever has gone on since keeps the focus.
    if (target.peek()?.focus()) row?.focus({ preventScroll: true })
  }, [marked.value, visit.current])

  const seen = attentive.value
  useEffect(() => {
    if (seen) observe()
  }, [seen])

  const lineAt = (row: number): boolean => {
    const message = messages[row]!
    const previous = messages[row - 1]
    return line !== noLine && message.seq > line && (previous?.seq ?? log.start - 1) <= line && message.username !== username.value
  }
  const gapAt = (row: number): boolean => {
    const before = room.gapBefore.value
    return before > 0 && messages[row]!.seq >= before && (messages[row - 1]?.seq ?? log.start - 1) < before
  }
  const dayAt = (row: number): boolean => (row === 0 ? !log.moreBefore : !sameDay(messages[row - 1]!, messages[row]!))
  const startsGroup = (row: number): boolean => row === 0 || dayAt(row) || lineAt(row) || !grouped(messages[row - 1]!, messages[row]!)

  const shown = []
  for (let i = start; i < end; i++) {
    const message = messages[i]!
    shown.push(
      <MessageRow
        key={message.seq}
        room={room.name}
        message={message}
        day={dayAt(i) ? dayOf(message.time) : undefined}
        unread={lineAt(i)}
        gap={gapAt(i)}
        grouped={!startsGroup(i)}
        marked={marked.value === message.seq}
        own={message.username === username.value}
        onResize={again}
      />,
    )
  }
  const lastMessage = messages[messages.length - 1]
  const empty = log.loaded && !log.moreBefore && messages.length === 0 && waiting.length === 0

  return (
    <div class="conversation">
      <div class="messages" ref={scroller} onScroll={onScroll} tabIndex={0} role="region" aria-label={t('messages', { room: room.name })} id="messages">
        <div class="begin">
          {room.loadFailed.value ? (
            <>
              {t('loadFailed')}{' '}
              <button type="button" class="plain" onClick={() => void loadOlder(room)}>
                {t('tryAgain')}
              </button>
            </>
          ) : empty ? (
            <Nothing room={room} />
          ) : log.moreBefore ? (
            <span class="quiet">{t('loading')}</span>
          ) : messages.length === 0 ? null : log.start === 1 ? (
            <span class="beginning">{t('beginning', { room: room.name })}</span>
          ) : (
            t('beginningKept')
          )}
        </div>
        <div class="rows" ref={list} role="list" aria-label={t('messages', { room: room.name })} onMouseOver={point} onMouseLeave={point} onFocusIn={follow} onFocusOut={follow}>
          <div role="presentation" aria-hidden="true" />
          {shown}
          <div role="presentation" aria-hidden="true" />
        </div>
        {waiting.length > 0 && (
          <div class="rows waiting" role="list" aria-label={t('sending')}>
            {waiting.map((p, i) => (
              <PendingRow
                key={p.id}
                pending={p}
                late={!room.joined.value}
                grouped={
                  i > 0 || (log.attached && lastMessage?.username === username.value && samePeriod(lastMessage.time, p.time))
                }
              />
            ))}
          </div>
        )}
      </div>
      {away.value && (
        <button
          type="button"
          class={room.unread.value > 0 ? 'jump news' : 'jump'}
          onClick={() => {
            void jumpToNewest(room)
            focusInput()
          }}
        >
          <ChevronDown />
          {room.unread.value > 0 ? count('jump', room.unread.value) : t('jump')}
        </button>
      )}
      <Progress room={room} />
      <Pinned pinned={pinned} />
    </div>
  )
}

/** What a room shows in which nothing has been said. */
function Nothing({ room }: { room: Room }) {
  return (
    <div class="nothing">
      <span class="nothing-symbol" aria-hidden="true">
        <Speech />
      </span>
      <h2>{t('empty')}</h2>
      <p>{t('emptyText')}</p>
      <CopyButton wide label={t('copyRoomLink')} text={() => location.origin + pathOf({ room: room.name })}>
        <Link />
      </CopyButton>
    </div>
  )
}

/** On its own, so that the list is not rendered for it. */
function Progress({ room }: { room: Room }) {
  return status.value === 'open' && room.loadingOlder.value ? <div class="progress" aria-hidden="true" /> : null
}

function sameDay(a: Message, b: Message): boolean {
  return new Date(a.time).toDateString() === new Date(b.time).toDateString()
}

/** Whether both are in the same few minutes of the clock: so a name comes again in a long run, wherever it begins. */
function samePeriod(a: string, b: string): boolean {
  return Math.floor(Date.parse(a) / groupWithin) === Math.floor(Date.parse(b) / groupWithin)
}

function grouped(previous: Message, message: Message): boolean {
  return previous.username === message.username && samePeriod(previous.time, message.time)
}

/** The author of what stands at the upper edge, while the name itself is above it. */
function Pinned({ pinned }: { pinned: Signal<Message | undefined> }) {
  const message = pinned.value
  if (!message) return null
  return (
    <div class="pinned" aria-hidden="true">
      <Avatar username={message.username} small />
      <bdi class={`author ${nickClass(message.username)}`}>{message.username}</bdi>
      <span class="quiet">
        {dayOf(message.time)}, {timeOf(message.time)}
      </span>
    </div>
  )
}
