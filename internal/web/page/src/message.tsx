// A message, stored or pending.

import type { ComponentChildren } from 'preact'
import { useMemo, useState } from 'preact/hooks'
import { filesPart } from './attached'
import { Files } from './files'
import { visit } from './focus'
import { ChangeLine } from './change'
import { content as contentOf } from './content'
import { mentions } from './markup'
import type { Answers } from './log'
import { Deleted, EditedMark, PinnedMark, Quote, Reactions, Replies } from './marks'
import { Avatar, Called, nickClass } from './nick'
import type { Message } from './protocol'
import { Refused } from './refused'
import { pathOf } from './route'
import { server, username, type Room, type Thread } from './state'
import type { Pending } from './storage'
import { Toolbar } from './toolbar'
import { rowOf } from './tools'
import { fullTimeOf, shortTimeOf, t, timeOf } from './texts'

/** Longer messages are shown in part until the user expands them. */
const longLines = 30
const longCharacters = 2500

interface RowProps {
  room: Room
  message: Message
  /** The user's changes of it that have no ack yet. */
  waiting: Pending[] | undefined
  /** The message that it answers: see Log.quote. */
  quoted: Message | undefined | null
  /** The day that begins with this message. */
  day: string | undefined
  /** The unread line stands above. */
  unread: boolean
  /** Messages are missing above. */
  gap: boolean
  /** Same author as above, shortly after: the name is not repeated. */
  grouped: boolean
  /** The message that a link or a search has led to. */
  marked: boolean
  own: boolean
  /** The thread whose list it is in; undefined in the list of the room. */
  thread?: Thread
  /** Those that answer it, if all are loaded. */
  answers?: Answers
  onResize(): void
}

export function MessageRow({ message, day, unread, gap, ...rest }: RowProps) {
  return (
    <div class="row" role="listitem" data-seq={message.seq} data-row={rowOf(message.seq, rest.thread?.seq)} tabIndex={-1}>
      {day !== undefined && (
        <div class="day">
          <span>{day}</span>
        </div>
      )}
      {gap && <div class="gap">{t('gap')}</div>}
      {unread && (
        <div class="unread uncopied">
          <span>{t(rest.room.flagged === message.seq ? 'unreadFromHere' : 'newMessages')}</span>
        </div>
      )}
      {message.change ? <ChangeLine room={rest.room} message={message} /> : <Said message={message} {...rest} />}
    </div>
  )
}

type SaidProps = Omit<RowProps, 'day' | 'unread' | 'gap'>

function Said({ room, message, waiting, quoted, grouped, marked, own, thread, answers, onResize }: SaidProps) {
  const place = { room: room.name, seq: message.seq }
  const mentioned = !own && mentions(message.content, username.value)
  const changing = waiting?.some((p) => !p.error && (p.amend?.type === 'edit' || p.amend?.type === 'delete'))
  const classes = ['message', grouped && 'grouped', marked && 'marked', mentioned && 'mentioned', changing && 'changing'].filter(Boolean).join(' ')
  return (
    <div class={classes}>
      <Author username={message.username} grouped={grouped} bot={message.bot} name={message.account && room.names.value.get(message.username)} />{' '}
      <a
        class={grouped ? 'time uncopied' : 'time'}
        href={pathOf(place)}
        title={fullTimeOf(message.time)}
        aria-label={t('link', { time: timeOf(message.time) })}
        onClick={(event) => {
          if (event.ctrlKey || event.metaKey || event.shiftKey) return
          event.preventDefault()
          visit(place)
        }}
      >
        {grouped ? shortTimeOf(message.time) : timeOf(message.time)}
      </a>
      {message.pinned && <PinnedMark />}
      {message.reply_to !== undefined && message.reply_to !== thread?.seq && <Quote room={room.name} seq={message.reply_to} message={quoted} />}
      {message.deleted ? <Deleted /> : (message.content !== '' || message.edited) && <Body content={message.content} edited={message.edited?.time} onResize={onResize} />}
      <Previews room={room.name} seq={message.seq} content={message.content} />
      {message.files && <Files files={message.files} by={message.username} />}
      <Reactions room={room} message={message} waiting={waiting} />
      {message.replies !== undefined && thread?.seq !== message.seq && <Replies room={room.name} seq={message.seq} number={message.replies} answers={answers} />}
      {waiting?.map((p) => p.error && <Refused key={p.id} room={room} pending={p} />)}
      <Toolbar room={room} message={message} thread={thread} />
    </div>
  )
}

/** What the links of a message are about, once the part of the page for that is loaded. */
function Previews({ room, seq, content }: { room: string; seq: number; content: string }) {
  const part = server.value?.previews && content.includes('://') && filesPart()
  return part ? <part.Cards key={content} room={room} seq={seq} content={content} /> : null
}

function Author({ username, grouped, bot, name }: { username: string; grouped: boolean; bot?: boolean; name?: string | undefined }) {
  // Screen readers need the name even where the grouping makes it obvious.
  if (grouped) return <span class="hidden uncopied">{username}</span>
  return (
    <>
      <Avatar username={username} />
      <bdi class={`author ${nickClass(username)}`}>{username}</bdi>
      <Called name={name} />
      {bot && <span class="badge">{t('bot')}</span>}
    </>
  )
}

function Body({ content, edited, onResize }: { content: string; edited?: string; onResize?(): void }) {
  const [whole, setWhole] = useState(false)
  const own = username.value
  const rendered: ComponentChildren = useMemo(() => contentOf(content, own), [content, own])
  const long = useMemo(() => content.length > longCharacters || content.split('\n', longLines + 1).length > longLines, [content])
  return (
    <div class={edited === undefined ? 'body' : 'body amended'}>
      <div class={long && !whole ? 'content cut' : 'content'} dir="auto">
        {rendered}
      </div>
      {edited !== undefined && <EditedMark time={edited} />}
      {long && (
        <button
          type="button"
          class="plain"
          aria-expanded={whole}
          onClick={() => {
            setWhole(!whole)
            onResize?.()
          }}
        >
          {t(whole ? 'showLess' : 'showAll')}
        </button>
      )}
    </div>
  )
}

/** A message of the user's own that has not been acknowledged, or a refused change of one that is not here. */
export function PendingRow({ room, pending, late, grouped, thread }: { room: Room; pending: Pending; late: boolean; grouped: boolean; thread?: Thread }) {
  const { amend, error, reply_to } = pending
  void room.version.value
  const quoted = amend?.target ?? reply_to
  return (
    <div class="row" role="listitem" data-id={pending.id}>
      <div class={['message pending', grouped && 'grouped', error && 'failed', pending.elsewhere && 'elsewhere'].filter(Boolean).join(' ')}>
        <Author username={pending.username} grouped={grouped} name={room.names.value.get(pending.username)} />{' '}
        <span class="time">{error ? '' : timeOf(pending.time)}</span>
        {quoted !== undefined && quoted !== thread?.seq && <Quote room={room.name} seq={quoted} message={room.log.quote(quoted)} />}
        {!amend && pending.content !== '' && <Body content={pending.content} />}
        {pending.files && <Files files={pending.files} by={pending.username} />}
        {!error && !pending.elsewhere && <span class="fate">{t(late ? 'waitingToSend' : 'sending')}</span>}
        {error && <Refused room={room} pending={pending} />}
      </div>
    </div>
  )
}
