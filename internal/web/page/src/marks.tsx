// What has become of a message: the marks of an edit, a deletion and a pin, reactions, and what it answers.

import { visit } from './focus'
import { parse } from './markup'
import { nickClass } from './nick'
import type { Message, Reaction } from './protocol'
import { pathOf } from './route'
import { username } from './state'
import { Pin, Reply } from './symbols'
import { count, fullTimeOf, listOf, t } from './texts'

/** The most characters of a quoted message. */
const mostQuoted = 200

/** The beginning of a message in one line, without marks. */
export function excerpt(content: string): string {
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
        {message === null ? '…' : !message ? t('quoteMissing') : message.deleted ? t('deletedMessage') : excerpt(message.content)}
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

/** The reactions to a message, and how many messages answer it. */
export function Reactions({ message }: { message: Message }) {
  const { reactions = [], replies = 0 } = message
  if (reactions.length === 0 && replies === 0) return null
  return (
    <div class="reactions uncopied">
      {reactions.length > 0 && (
        <ul aria-label={t('reactions')}>
          {reactions.map((r) => (
            <li key={r.emoji}>
              <span class={r.me ? 'reaction mine' : 'reaction'} title={names(r)}>
                <span class="emoji">{r.emoji}</span> <span class="reaction-count">{r.count}</span>
                <span class="hidden"> {names(r)}</span>
              </span>
            </li>
          ))}
        </ul>
      )}
      {replies > 0 && <span class="replies">{count('replies', replies)}</span>}
    </div>
  )
}
