// What has become of a message: the marks of an edit, a deletion and a pin, reactions, and what it answers.

import { react } from './amends'
import { openPanel, visit } from './focus'
import type { Answers } from './log'
import { parse } from './markup'
import { Avatar, nickClass } from './nick'
import { filesIn } from './attached'
import type { FileInfo, Message, Reaction } from './protocol'
import { may } from './rights'
import { pathOf, type Panel } from './route'
import { factsOf, username, type Room } from './state'
import type { Pending } from './storage'
import { Pin, Reply } from './symbols'
import { count, dayIn, fullTimeOf, listOf, t, timeOf } from './texts'

/** The most characters of a quoted message. */
const mostQuoted = 200

/** The beginning of a message in one line, without marks. */
export function excerpt({ content, files }: { content: string; files?: FileInfo[] }): string {
  if (content === '') return filesIn(files)
  const begin = content.slice(0, mostQuoted).replace(/[\ud800-\udbff]$/, '')
  const lines = parse(begin).map((line) => line.spans.map((s) => (s.mark ? '' : s.text)).join(''))
  return lines.join(' ').trim()
}

/** The message that a reply answers, which a click leads to. It is undefined if there is none, and null until it is loaded. */
export function Quote({ room, seq, message }: { room: string; seq: number; message: Message | undefined | null }) {
  const place = { room, seq }
  return (
    <a
      class="quote uncopied"
      href={pathOf(place)}
      onClick={(event) => {
        if (event.ctrlKey || event.metaKey || event.shiftKey) return
        event.preventDefault()
        visit(place)
      }}
    >
      <Reply />
      <span class="hidden">{t('answers')} </span>
      {message && <bdi class={`author ${nickClass(message.username)}`}>{message.username}</bdi>}
      <span class="quote-text" dir="auto">
        {message === null ? '…' : !message ? t('quoteMissing') : message.deleted ? t('deletedMessage') : excerpt(message)}
      </span>
    </a>
  )
}

/** Stands behind the text of an edited message. */
export function EditedMark({ time }: { time: string }) {
  return (
    <time class="edited uncopied" dateTime={time} title={fullTimeOf(time)}>
      {t('edited')}
    </time>
  )
}

export function PinnedMark() {
  return (
    <span class="pin-mark uncopied">
      <Pin />
      {t('pinned')}
    </span>
  )
}

/** Stands in place of the text of a deleted message. */
export function Deleted() {
  return <p class="deleted uncopied">{t('deletedMessage')}</p>
}

/** Who has reacted: the first names, the user among them, and how many more. */
function names({ usernames, count: all, me }: Reaction): string {
  const others = usernames.filter((name) => name !== username.value)
  const named = me ? [...others, t('you')] : others
  const more = all - named.length
  return listOf(more > 0 ? [...named, count('more', more)] : named)
}

interface ReactionsProps {
  room: Room
  message: Message
  /** The user's changes of it that have no ack yet. */
  waiting: Pending[] | undefined
}

/** The reactions to a message. A click adds the user's, or takes it back. */
export function Reactions({ room, message, waiting }: ReactionsProps) {
  const { reactions = [] } = message
  if (reactions.length === 0) return null
  const allowed = may('react', factsOf(room))
  const isWaiting = (emoji: string) => waiting?.some((p) => !p.error && p.amend?.type === 'react' && p.amend.emoji === emoji)
  return (
    <div class="reactions uncopied">
      <ul aria-label={t('reactions')}>
        {reactions.map((r) => (
          <li key={r.emoji}>
            {allowed ? (
              <button type="button" class="reaction" aria-pressed={r.me} title={names(r)} onClick={() => react(room, message, r.emoji)}>
                <Pill reaction={r} waiting={isWaiting(r.emoji)} />
              </button>
            ) : (
              <span class="reaction" title={names(r)}>
                <Pill reaction={r} />
              </span>
            )}
          </li>
        ))}
      </ul>
    </div>
  )
}

/** How many messages answer one, and the last of them if all are loaded. A click opens the thread. */
export function Replies({ room, seq, number, answers }: { room: string; seq: number; number: number; answers: Answers | undefined }) {
  const panel: Panel = { kind: 'thread', seq }
  return (
    <a
      class="replies uncopied"
      href={pathOf({ room, panel })}
      onClick={(event) => {
        if (event.ctrlKey || event.metaKey || event.shiftKey) return
        event.preventDefault()
        openPanel(panel)
      }}
    >
      <span class="faces" aria-hidden="true">
        {answers?.usernames.map((name) => <Avatar key={name} username={name} small />)}
      </span>
      <span class="replies-count">{count('replies', number)}</span>
      {answers && (
        <time class="quiet" dateTime={answers.time} title={fullTimeOf(answers.time)}>
          {t('lastReply', { time: timeOf(answers.time), day: dayIn(answers.time) })}
        </time>
      )}
    </a>
  )
}

function Pill({ reaction, waiting }: { reaction: Reaction; waiting?: boolean }) {
  return (
    <span class={['pill', reaction.me && 'mine', waiting && 'waiting'].filter(Boolean).join(' ')}>
      <span class="emoji">{reaction.emoji}</span> <span class="reaction-count">{reaction.count}</span>
      <span class="hidden"> {names(reaction)}</span>
    </span>
  )
}
