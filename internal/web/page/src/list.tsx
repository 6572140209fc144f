// The messages of a room.

import type { Signal } from '@preact/signals'
import { useEffect, useLayoutEffect, useState } from 'preact/hooks'
import { amendsOf, expected } from './amends'
import { CopyButton } from './copy'
import { dayAbove, gapAbove, lineAbove, samePeriod, startsGroup } from './dividers'
import { focusInput } from './focus'
import { jumpToNewest, loadOlder, loadQuoted } from './history'
import { MessageRow, PendingRow } from './message'
import { Avatar, nickClass } from './nick'
import type { Message } from './protocol'
import { pathOf } from './route'
import { attentive, covered, pending, status, target, username, type Room } from './state'
import type { Pending } from './storage'
import { ChevronDown, Link, Speech } from './symbols'
import { count, dayOf, t, timeOf } from './texts'
import { follow, hold, point, press, release } from './tools'
import { Viewport } from './viewport'

export function MessageList({ room }: { room: Room }) {
  const [, rerender] = useState(0)
  // Always the same function, so that unchanged rows are not rendered.
  const [again] = useState(() => () => rerender((n) => n + 1))
  const [view] = useState(() => new Viewport(again))
  void room.version.value
  view.follow(room)
  useLayoutEffect(() => view.arrange())

  // The window, the input below and the text's width change heights without a render.
  useEffect(() => {
    const observer = new ResizeObserver(() => {
      if (view.listRef.current) view.arrange()
    })
    observer.observe(view.scrollerRef.current!)
    observer.observe(view.list)
    return () => observer.disconnect()
  }, [])

  useEffect(() => {
    if (view.marked.value === 0) return
    const row = view.list.querySelector<HTMLElement>(`[data-seq="${view.marked.value}"]`)
    // Loading may have taken a while: if the user has moved on, the focus stays.
    if (target.peek()?.focus()) row?.focus({ preventScroll: true })
  }, [view.marked.value, view.visit])

  const amends = amendsOf(room)
  // A refused change of a message that is not here is shown at the end.
  const waiting = pending.value.filter((p) => p.room === room.name && (!p.amend || (p.error && !room.log.at(p.amend.target))))
  useEffect(() => {
    const unknown = unquoted(room, view, waiting)
    if (unknown !== undefined) void loadQuoted(room, unknown)
  })

  const seen = attentive.value && !covered.value
  useEffect(() => {
    if (seen) view.observe()
  }, [seen])

  return (
    <div class="conversation">
      <div class="messages" ref={view.scrollerRef} onScroll={() => view.scrolled()} tabIndex={0} role="region" aria-label={t('messages', { room: room.title.value })} id="messages">
        <div class="begin">{begin(room, waiting.length > 0)}</div>
        <div class="rows" ref={view.listRef} role="list" aria-label={t('messages', { room: room.title.value })} onMouseOver={point} onMouseLeave={point} onFocusIn={follow} onFocusOut={follow} onPointerDown={press} onPointerUp={release} onPointerCancel={release} onContextMenu={hold}>
          <div role="presentation" aria-hidden="true" />
          {rowsOf(room, view, amends, again)}
          <div role="presentation" aria-hidden="true" />
        </div>
        <Waiting room={room} waiting={waiting} />
      </div>
      {view.away.value && <Jump room={room} />}
      <Progress room={room} />
      <Pinned pinned={view.pinned} />
    </div>
  )
}

/** What has no ack yet, below the messages. */
function Waiting({ room, waiting }: { room: Room; waiting: Pending[] }) {
  if (waiting.length === 0) return null
  return (
    <div class="rows waiting" role="list" aria-label={t('sending')}>
      {waiting.map((p, i) => (
        <PendingRow key={p.id} room={room} pending={p} late={!room.joined.value} grouped={i > 0 || continues(room, p.time)} />
      ))}
    </div>
  )
}

/** A message that a row in the document or the field quotes and that is not known yet. */
function unquoted({ log, composing }: Room, view: Viewport, waiting: Pending[]): number | undefined {
  const about = composing.value
  const quoted = [about && about.type !== 'lost' ? about.seq : undefined, ...waiting.map((p) => p.amend?.target ?? p.reply_to)]
  for (let i = view.start; i < view.end; i++) quoted.push(log.messages[i]?.reply_to)
  return quoted.find((seq) => seq !== undefined && log.quote(seq) === null)
}

/** The rows that are in the document. */
function rowsOf(room: Room, view: Viewport, amends: Map<number, Pending[]>, onResize: () => void) {
  const shown = []
  for (let i = view.start; i < view.end; i++) {
    const stored = room.log.messages[i]!
    const waiting = amends.get(stored.seq)
    const message = expected(stored, waiting)
    shown.push(
      <MessageRow
        key={message.seq}
        room={room}
        message={message}
        waiting={waiting}
        quoted={message.reply_to === undefined ? undefined : room.log.quote(message.reply_to)}
        day={dayAbove(room, i) ? dayOf(message.time) : undefined}
        unread={lineAbove(room, i)}
        gap={gapAbove(room, i)}
        grouped={!startsGroup(room, i)}
        marked={view.marked.value === message.seq}
        own={message.username === username.value}
        answers={message.replies === undefined ? undefined : room.log.answers(message.seq)}
        onResize={onResize}
      />,
    )
  }
  return shown
}

/** Whether a pending message continues the group at the end of the log. */
function continues({ log }: Room, time: string): boolean {
  const last = log.messages[log.messages.length - 1]
  return log.attached && !last?.change && last?.username === username.value && samePeriod(last.time, time)
}

/** The text above the first message. */
function begin(room: Room, waiting: boolean) {
  const { log } = room
  if (room.loadFailed.value) {
    return (
      <>
        {t('loadFailed')}{' '}
        <button type="button" class="plain" onClick={() => void loadOlder(room)}>
          {t('tryAgain')}
        </button>
      </>
    )
  }
  if (log.moreBefore) return <span class="quiet">{t('loading')}</span>
  if (log.start > 1 && log.loaded) return <span class="quiet">{t(sinceJoining(room) ? 'beginningJoined' : 'beginningKept')}</span>
  if (log.messages.length === 0) return log.loaded && !waiting && <Nothing room={room} />
  return <span class="beginning">{t(room.kind.value === 'direct' ? 'beginningDirect' : 'beginning', { room: room.title.value })}</span>
}

/** Whether a room's log begins where the user joined it. */
function sinceJoining({ history, log }: Room): boolean {
  const first = log.messages[0]
  return history.value === 'joined' && first?.seq === log.start && first.change?.type === 'member' && first.change.subject === username.value
}

/** The button that leads to the newest message. */
function Jump({ room }: { room: Room }) {
  const unread = room.unread.value
  return (
    <button
      type="button"
      class={unread > 0 ? 'jump news' : 'jump'}
      onClick={() => {
        void jumpToNewest(room)
        focusInput()
      }}
    >
      <ChevronDown />
      {unread > 0 ? count('jump', unread) : t('jump')}
    </button>
  )
}

/** Shown in a room without messages. */
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

/** A component of its own, so that the list is not rendered for it. */
function Progress({ room }: { room: Room }) {
  return status.value === 'open' && room.loadingOlder.value ? <div class="progress" aria-hidden="true" /> : null
}

/** The author of the message at the upper edge, while the name itself is above it. */
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
