// A thread: a message, those that answer it, and a field for another answer.

import { useEffect, useLayoutEffect, useRef } from 'preact/hooks'
import { amendsOf, expected } from './amends'
import { Composer } from './composer'
import { samePeriod } from './dividers'
import { loadOlderOf, loadQuoted, loadThread } from './history'
import { MessageRow, PendingRow } from './message'
import type { Message } from './protocol'
import { may } from './rights'
import { factsOf, pending, username, type Thread } from './state'
import type { Pending } from './storage'
import { count, dayOf, t } from './texts'
import { follow, hold, point, press, release } from './tools'

/** Closer to the end than this, the list follows new messages. Pixels. */
const nearEnd = 40

export function ThreadView({ thread }: { thread: Thread }) {
  const { room, log, seq } = thread
  void room.version.value
  const root = room.log.quote(seq)
  useEffect(() => {
    if (root === null) void loadQuoted(room, seq)
  })
  useEffect(() => {
    if (!log.loaded && !thread.failed.value) void loadThread(thread)
  })
  const waiting = pending.value.filter((p) => p.room === room.name && !p.amend && p.reply_to === seq)
  const scroller = useEnd(log.messages.length + waiting.length)
  if (root === undefined || root?.change) {
    return (
      <div class="nothing">
        <p>
          <strong>{t('threadMissing')}</strong>
        </p>
        <p>{t('threadMissingText')}</p>
      </div>
    )
  }
  return (
    <>
      <div class="messages" ref={scroller} tabIndex={0} role="region" aria-label={t('thread')} id="thread">
        <div class="rows" role="list" aria-label={t('thread')} onMouseOver={point} onMouseLeave={point} onFocusIn={follow} onFocusOut={follow} onPointerDown={press} onPointerUp={release} onPointerCancel={release} onContextMenu={hold}>
          <Rows thread={thread} root={root} waiting={waiting} />
        </div>
      </div>
      {may('send', factsOf(room)) && <Composer field={thread} />}
    </>
  )
}

function Rows({ thread, root, waiting }: { thread: Thread; root: Message | null; waiting: Pending[] }) {
  const { room, log } = thread
  const amends = amendsOf(room)
  const row = (stored: Message, before: Message | undefined) => {
    const message = expected(stored, amends.get(stored.seq))
    const newDay = before === undefined || dayOf(before.time) !== dayOf(stored.time)
    return (
      <MessageRow
        key={message.seq}
        room={room}
        thread={thread}
        message={message}
        waiting={amends.get(message.seq)}
        quoted={message.reply_to === undefined ? undefined : room.log.quote(message.reply_to)}
        day={newDay && before ? dayOf(message.time) : undefined}
        unread={false}
        gap={false}
        grouped={!newDay && before !== root && before.username === message.username && samePeriod(before.time, message.time)}
        marked={false}
        own={message.username === username.value}
        onResize={noMatter}
      />
    )
  }
  const last = log.messages[log.messages.length - 1]
  return (
    <>
      {root === null ? <p class="quiet begin">{t('loading')}</p> : row(root, undefined)}
      <Between thread={thread} number={Math.max(root?.replies ?? 0, log.messages.length)} empty={log.loaded && log.messages.length + waiting.length === 0} />
      {log.messages.map((message, i) => row(message, i === 0 ? (root ?? undefined) : log.messages[i - 1]))}
      {waiting.map((p, i) => (
        <PendingRow key={p.id} room={room} thread={thread} pending={p} late={!room.joined.value} grouped={i > 0 || (last?.username === username.value && samePeriod(last.time, p.time))} />
      ))}
    </>
  )
}

const noMatter = () => undefined

/** What stands between the message and those that answer it. */
function Between({ thread, number, empty }: { thread: Thread; number: number; empty: boolean }) {
  const { log, failed, loading } = thread
  if (empty) {
    return (
      <div class="nothing" role="presentation">
        <p>
          <strong>{t('noReplies')}</strong>
        </p>
        {may('send', factsOf(thread.room)) && <p>{t('noRepliesText')}</p>}
      </div>
    )
  }
  const load = () => void (log.loaded ? loadOlderOf(thread) : loadThread(thread))
  return (
    <div class="between" role="presentation">
      {number > 0 && <span class="day"><span>{count('replies', number)}</span></span>}
      {failed.value && <p class="problem" role="alert">{t('repliesFailed')}</p>}
      {(failed.value || (log.loaded && log.moreBefore)) && (
        <button type="button" class="plain" disabled={loading.value} onClick={load}>
          {t(failed.value ? 'tryAgain' : 'olderReplies')}
        </button>
      )}
      {!log.loaded && !failed.value && <p class="quiet">{t('loading')}</p>}
    </div>
  )
}

/** Keeps a list at its end while the reader is there. */
function useEnd(rows: number) {
  const scroller = useRef<HTMLDivElement>(null)
  const following = useRef(true)
  const settle = () => {
    const el = scroller.current
    if (el && following.current) el.scrollTop = el.scrollHeight
  }
  useLayoutEffect(settle, [rows])
  useLayoutEffect(() => {
    const el = scroller.current
    if (!el) return
    const onScroll = () => (following.current = el.scrollHeight - el.scrollTop - el.clientHeight < nearEnd)
    el.addEventListener('scroll', onScroll, { passive: true })
    // The field below and the text's width change heights without a render.
    const observer = new ResizeObserver(settle)
    observer.observe(el)
    for (const child of el.children) observer.observe(child)
    return () => {
      el.removeEventListener('scroll', onScroll)
      observer.disconnect()
    }
  }, [scroller.current])
  return scroller
}
