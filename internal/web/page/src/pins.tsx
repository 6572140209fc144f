// The pinned messages of a room.

import { Files } from './files'
import { useEffect } from 'preact/hooks'
import { amendsOf, expected, setPinned } from './amends'
import { content as contentOf } from './content'
import { loadPins } from './finding'
import { visit } from './focus'
import { loadQuoted } from './history'
import { Avatar, nickClass } from './nick'
import type { Message } from './protocol'
import { Refused } from './refused'
import { may } from './rights'
import { pathOf } from './route'
import { covered, factsOf, status, username, type Room } from './state'
import { Pin } from './symbols'
import { dayOf, explain, fullTimeOf, t, timeOf } from './texts'
import type { Pending } from './storage'

/** Which messages of a room may be pinned: those that the server has found, and those that are loaded, in any order. */
function candidates(room: Room): number[] {
  const seqs = new Set(room.pins.value?.hits.map((hit) => hit.seq))
  for (const seq of room.pinned) seqs.add(seq)
  for (const { seq, pinned } of room.log.messages) if (pinned) seqs.add(seq)
  return [...seqs]
}

export function PinsView({ room }: { room: Room }) {
  void room.version.value
  const pins = room.pins.value
  const open = status.value === 'open' && room.joined.value
  useEffect(() => {
    if (open) {
      room.pins.value = undefined
      void loadPins(room)
    }
  }, [open])
  const seqs = candidates(room)
  const unknown = seqs.find((seq) => room.log.quote(seq) === null)
  useEffect(() => {
    if (unknown !== undefined) void loadQuoted(room, unknown)
  })
  const amends = amendsOf(room)
  const shown = seqs.flatMap((seq) => {
    const stored = room.log.quote(seq)
    const waiting = amends.get(seq)
    // A refused change says so here.
    return stored?.pinned && !stored.deleted && (expected(stored, waiting).pinned || waiting?.some((p) => p.error)) ? [{ message: expected(stored, waiting), waiting, at: stored.pinned_at ?? 0 }] : []
  })
  // The newest pin first.
  shown.sort((a, b) => b.at - a.at || b.message.seq - a.message.seq)
  if (shown.length === 0 && unknown === undefined && pins && !pins.busy && !pins.problem) return <NoPins room={room} />
  return (
    <div class="pins">
      <ul>
        {shown.map(({ message, waiting }) => (
          <Pinned key={message.seq} room={room} message={message} waiting={waiting} />
        ))}
      </ul>
      {(pins?.busy || unknown !== undefined) && <p class="quiet" role="status">{t('loading')}</p>}
      {pins?.problem && (
        <p class="problem" role="alert">
          {pins.problem.code === 'offline' ? t('pinsOffline') : explain(pins.problem)}
        </p>
      )}
      {pins && !pins.busy && (pins.more || pins.problem) && (
        <button type="button" class="secondary" onClick={() => void loadPins(room)}>
          {t(pins.problem ? 'tryAgain' : 'morePins')}
        </button>
      )}
    </div>
  )
}

function NoPins({ room }: { room: Room }) {
  return (
    <div class="nothing">
      <span class="nothing-symbol" aria-hidden="true">
        <Pin />
      </span>
      <p>
        <strong>{t('noPins')}</strong>
      </p>
      {may('pin', factsOf(room)) && <p>{t('noPinsText')}</p>}
    </div>
  )
}

function Pinned({ room, message, waiting }: { room: Room; message: Message; waiting: Pending[] | undefined }) {
  const { seq, username: author, time, content, files } = message
  const place = { room: room.name, seq }
  return (
    <li class="pin" data-pin={seq}>
      <div class="pin-head">
        <Avatar username={author} small />
        <bdi class={`author ${nickClass(author)}`}>{author}</bdi>
        <span class="quiet" title={fullTimeOf(time)}>
          {dayOf(time)}, {timeOf(time)}
        </span>
      </div>
      <div class="content pin-content" dir="auto">
        {contentOf(content, username.value)}
      </div>
      {files && <Files files={files} by={author} />}
      {waiting?.map((p) => p.error && <Refused key={p.id} room={room} pending={p} />)}
      <p class="pin-tools">
        <a
          href={pathOf(place)}
          onClick={(event) => {
            if (event.ctrlKey || event.metaKey || event.shiftKey) return
            event.preventDefault()
            visit(covered.peek() ? place : { ...place, panel: { kind: 'pins' } })
          }}
        >
          {t('jumpTo')}
        </a>
        {may('pin', factsOf(room)) && message.pinned && (
          <button type="button" class="plain" onClick={() => setPinned(room, message, false)}>
            {t('unpin')}
          </button>
        )}
      </p>
    </li>
  )
}
