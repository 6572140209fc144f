// Search in the loaded messages of a room.

import { useSignal } from '@preact/signals'
import { useMemo } from 'preact/hooks'
import { closeSearch, visit } from './focus'
import { nickClass } from './nick'
import type { Message } from './protocol'
import type { Room } from './state'
import { Cross } from './symbols'
import { count, fullTimeOf, t, timeOf, dayOf } from './texts'

const mostResults = 100

export function SearchPanel({ room }: { room: Room }) {
  const query = useSignal('')
  const wanted = query.value.trim().toLowerCase()
  const version = room.version.value
  const found = useMemo(() => {
    if (wanted === '') return []
    return room.log.messages.filter((m) => !m.change && (m.content.toLowerCase().includes(wanted) || m.username.toLowerCase() === wanted))
  }, [wanted, version, room])
  const shown = found.slice(-mostResults).reverse()
  return (
    <section
      class="search"
      aria-label={t('search')}
      onKeyDown={(event) => {
        if (event.key !== 'Escape') return
        event.stopPropagation()
        closeSearch()
      }}
    >
      <div class="search-head">
        <input
          id="search"
          type="search"
          aria-label={t('searchLabel')}
          placeholder={t('searchLabel')}
          autocomplete="off"
          onInput={(event) => (query.value = event.currentTarget.value)}
        />
        <button type="button" class="icon" aria-label={t('close')} onClick={closeSearch}>
          <Cross />
        </button>
      </div>
      <p class="quiet" role="status">
        {wanted === '' ? count('searchHint', room.log.messages.length) : count('results', found.length)}
        {found.length > shown.length && ` ${t('resultsMany', { count: shown.length })}`}
      </p>
      {shown.length > 0 && (
        <ul class="results">
          {shown.map((message) => (
            <li key={message.seq}>
              <button type="button" title={fullTimeOf(message.time)} onClick={() => visit({ room: room.name, seq: message.seq })}>
                <span class="result-head">
                  <bdi class={`author ${nickClass(message.username)}`}>{message.username}</bdi>
                  <span class="quiet">
                    {dayOf(message.time)}, {timeOf(message.time)}
                  </span>
                </span>
                <Excerpt message={message} wanted={wanted} />
              </button>
            </li>
          ))}
        </ul>
      )}
    </section>
  )
}

function Excerpt({ message, wanted }: { message: Message; wanted: string }) {
  const { content } = message
  const at = content.toLowerCase().indexOf(wanted)
  if (at < 0) return <span class="excerpt">{content.slice(0, 160)}</span>
  const from = Math.max(0, at - 40)
  return (
    <span class="excerpt" dir="auto">
      {from > 0 && '…'}
      {content.slice(from, at)}
      <mark>{content.slice(at, at + wanted.length)}</mark>
      {content.slice(at + wanted.length, at + wanted.length + 120)}
    </span>
  )
}
