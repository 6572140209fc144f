// A message, stored or pending.

import type { ComponentChildren } from 'preact'
import { useMemo, useState } from 'preact/hooks'
import { visit } from './focus'
import { ChangeLine } from './change'
import { content as contentOf } from './content'
import { mentions } from './markup'
import { Deleted, EditedMark, PinnedMark, Quote, Reactions } from './marks'
import { Avatar, nickClass } from './nick'
import { discard, retry } from './outbox'
import type { Message } from './protocol'
import { pathOf } from './route'
import { username } from './state'
import type { Pending } from './storage'
import { Toolbar } from './toolbar'
import { explain, fullTimeOf, shortTimeOf, t, timeOf } from './texts'

/** Longer messages are shown in part until the user expands them. */
const longLines = 30
const longCharacters = 2500

interface RowProps {
  room: string
  message: Message
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
  onResize(): void
}

export function MessageRow({ message, day, unread, gap, ...rest }: RowProps) {
  return (
    <div class="row" role="listitem" data-seq={message.seq} tabIndex={-1}>
      {day !== undefined && (
        <div class="day">
          <span>{day}</span>
        </div>
      )}
      {gap && <div class="gap">{t('gap')}</div>}
      {unread && (
        <div class="unread uncopied">
          <span>{t('newMessages')}</span>
        </div>
      )}
      {message.change ? <ChangeLine message={message} /> : <Said message={message} {...rest} />}
    </div>
  )
}

type SaidProps = Omit<RowProps, 'day' | 'unread' | 'gap'>

function Said({ room, message, quoted, grouped, marked, own, onResize }: SaidProps) {
  const place = { room, seq: message.seq }
  const mentioned = !own && mentions(message.content, username.value)
  const classes = ['message', grouped && 'grouped', marked && 'marked', mentioned && 'mentioned'].filter(Boolean).join(' ')
  return (
    <div class={classes}>
      <Author username={message.username} grouped={grouped} bot={message.bot} />{' '}
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
      {message.reply_to !== undefined && <Quote room={room} seq={message.reply_to} message={quoted} />}
      {message.deleted ? <Deleted /> : <Body content={message.content} edited={message.edited?.time} onResize={onResize} />}
      <Reactions message={message} />
      <Toolbar room={room} message={message} />
    </div>
  )
}

function Author({ username, grouped, bot }: { username: string; grouped: boolean; bot?: boolean }) {
  // Screen readers need the name even where the grouping makes it obvious.
  if (grouped) return <span class="hidden uncopied">{username}</span>
  return (
    <>
      <Avatar username={username} />
      <bdi class={`author ${nickClass(username)}`}>{username}</bdi>
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

/** A message of the user's own that has not been acknowledged. */
export function PendingRow({ pending, late, grouped }: { pending: Pending; late: boolean; grouped: boolean }) {
  const { error } = pending
  return (
    <div class="row" role="listitem" data-id={pending.id}>
      <div class={['message pending', grouped && 'grouped', error && 'failed', pending.elsewhere && 'elsewhere'].filter(Boolean).join(' ')}>
        <Author username={pending.username} grouped={grouped} />
        <span class="time">{error ? '' : timeOf(pending.time)}</span>
        <Body content={pending.content} />
        {!error && !pending.elsewhere && <span class="fate">{t(late ? 'waitingToSend' : 'sending')}</span>}
        {error && (
          <div class="fate error">
            {t('notSent', { reason: explain(error) })}{' '}
            <button type="button" class="plain" onClick={() => retry(pending.id)}>
              {t('tryAgain')}
            </button>{' '}
            <button type="button" class="plain" onClick={() => discard(pending.id)}>
              {t('discard')}
            </button>
          </div>
        )}
      </div>
    </div>
  )
}
