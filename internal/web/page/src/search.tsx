// The search: a field with operators that complete themselves, and what was found.

import { useComputed, useSignal } from '@preact/signals'
import type { RefObject } from 'preact'
import { useEffect, useLayoutEffect, useRef } from 'preact/hooks'
import { marksOf } from './files'
import { find, finding, findMore } from './finding'
import { lookFor, touch, visit } from './focus'
import { parse } from './markup'
import { nickClass } from './nick'
import { complete, everything, type Completion, type Offer } from './operators'
import type { Hit } from './protocol'
import { pathOf, type Panel } from './route'
import { covered, rooms, status, username, type Finding, type Room } from './state'
import { Where } from './sign'
import { Search } from './symbols'
import { count, dayOf, explain, fullTimeOf, t, timeOf } from './texts'

type SearchPanel = Panel & { kind: 'search' }

/** Longer queries are refused. Bytes, and so characters at least. */
const longest = 1024

export function SearchView({ room, panel }: { room: Room; panel: SearchPanel }) {
  const { query, everywhere } = panel
  const within = everywhere ? undefined : room.name
  const open = status.value === 'open'
  useEffect(() => {
    const now = finding.peek()
    if (query !== '' && open && (now?.query !== query || now.room !== within)) find(query, within)
  }, [query, within, open])
  const now = useComputed(() => finding.value).value
  const shown = now && now.query === query && now.room === within ? now : undefined
  return (
    <div class="search">
      <Form room={room} panel={panel} shown={shown} />
      {query === '' ? <Help /> : <Results panel={panel} finding={shown} />}
    </div>
  )
}

/** The names that operators may have. */
function namesFor(room: Room) {
  return {
    rooms: rooms.peek().filter((r) => r.kind.peek() !== 'direct' && !r.doubt.peek()).map((r) => r.name),
    people: [username.peek(), ...(room.members.peek() ?? []).map((m) => m.username).filter((name) => name !== username.peek())],
  }
}

/** Completes what is written in a field. */
function useOffers(input: RefObject<HTMLInputElement | null>, room: Room, query: string) {
  const typed = useSignal({ text: query, caret: query.length })
  const at = useSignal(-1)
  const closed = useSignal(true)
  /** What is offered. A key asks again: it may come before the last one has been rendered. */
  const offered = (): Completion & { index: number } => {
    const { from, offers } = closed.value ? { from: 0, offers: [] } : complete(typed.value.text, typed.value.caret, namesFor(room))
    return { from, offers, index: Math.min(at.value, offers.length - 1) }
  }
  const close = () => (closed.value = true)
  const read = () => {
    const el = input.current!
    typed.value = { text: el.value, caret: el.selectionStart ?? el.value.length }
    at.value = -1
    closed.value = false
  }
  const choose = (offer: Offer) => {
    const el = input.current!
    // What takes a value is not complete yet.
    el.setRangeText(offer.text.endsWith(':') ? offer.text : `${offer.text} `, offered().from, el.selectionStart ?? el.value.length, 'end')
    el.focus()
    read()
  }
  /** Handles a key; false if it has no meaning here. */
  const press = ({ key, shiftKey }: KeyboardEvent): boolean => {
    const { offers, index } = offered()
    if (offers.length === 0) return false
    if (key === 'ArrowDown') at.value = (index + 1) % offers.length
    else if (key === 'ArrowUp') at.value = index <= 0 ? offers.length - 1 : index - 1
    else if (key === 'Tab' && !shiftKey) choose(offers[Math.max(0, index)]!)
    else if (key === 'Enter' && index >= 0) choose(offers[index]!)
    else if (key === 'Escape') close()
    else return false
    return true
  }
  return { ...offered(), read, choose, press, close }
}

function Form({ room, panel, shown }: { room: Room; panel: SearchPanel; shown: Finding | undefined }) {
  const input = useRef<HTMLInputElement>(null)
  const { offers, index, read, choose, press, close } = useOffers(input, room, panel.query)
  // Another query by the address. At once: later it would undo what has been typed meanwhile.
  useLayoutEffect(() => {
    if (input.current!.value !== panel.query) input.current!.value = panel.query
    close()
  }, [panel.query])
  const submit = (event: Event) => {
    event.preventDefault()
    close()
    const query = input.current!.value.trim()
    if (query === shown?.query && query !== '') find(query, shown.room)
    lookFor({ ...panel, query })
    if (touch()) input.current!.blur()
  }
  const onKeyDown = (event: KeyboardEvent) => {
    if (event.isComposing) return
    if (!press(event)) {
      if (event.key !== 'ArrowDown') return
      document.querySelector<HTMLElement>('.results a')?.focus()
    }
    event.preventDefault()
    event.stopPropagation()
  }
  const wrong = shown?.problem?.code === 'bad_query'
  return (
    <form class="search-form" role="search" onSubmit={submit}>
      <div class="search-field">
        <input
          id="search" ref={input} type="text" inputMode="search" role="combobox" maxLength={longest} defaultValue={panel.query}
          aria-label={t('searchLabel')} placeholder={t('searchLabel')} aria-autocomplete="list" aria-expanded={offers.length > 0} aria-controls="operators"
          aria-activedescendant={index >= 0 ? `operator-${index}` : undefined} aria-invalid={wrong} aria-describedby={wrong ? 'search-problem' : undefined}
          autocomplete="off" autocapitalize="off" spellcheck={false} enterkeyhint="search"
          onInput={read} onKeyDown={onKeyDown} onBlur={close}
        />
        <button type="submit" class="icon" aria-label={t('search')} title={t('search')}>
          <Search />
        </button>
      </div>
      <Offers offers={offers} index={index} choose={choose} />
      {wrong && (
        <p class="problem" id="search-problem" role="alert">
          {explain(shown.problem!)}
        </p>
      )}
      <Scope room={room} panel={panel} />
    </form>
  )
}

function Offers({ offers, index, choose }: { offers: Offer[]; index: number; choose(offer: Offer): void }) {
  return (
    <ul id="operators" class="operators" role="listbox" aria-label={t('operators')} hidden={offers.length === 0}>
      {offers.map((offer, i) => (
        // The field keeps the focus.
        <li key={offer.text} id={`operator-${i}`} role="option" aria-selected={i === index} onPointerDown={(event) => event.preventDefault()} onClick={() => choose(offer)}>
          <code>{offer.text}</code>
          {offer.help && <span class="quiet">{t(offer.help)}</span>}
        </li>
      ))}
    </ul>
  )
}

/** Whether the search is in the room or everywhere. */
function Scope({ room, panel }: { room: Room; panel: SearchPanel }) {
  return (
    <fieldset class="segments scope">
      <legend class="hidden">{t('searchIn')}</legend>
      <div>
        {[false, true].map((everywhere) => (
          <label key={String(everywhere)}>
            <input type="radio" name="scope" checked={panel.everywhere === everywhere} onChange={() => lookFor({ ...panel, everywhere }, false)} />
            <span dir="auto">{everywhere ? t('allRooms') : room.title.value}</span>
          </label>
        ))}
      </div>
    </fieldset>
  )
}

/** What can be written, as long as nothing is. */
function Help() {
  return (
    <div class="search-help">
      <p class="quiet">{t('searchHelp')}</p>
      <dl>
        {everything.map(({ text, help }) => (
          <div key={text}>
            <dt>
              <code>{text}</code>
            </dt>
            <dd class="quiet">{t(help!)}</dd>
          </div>
        ))}
      </dl>
    </div>
  )
}

function statusOf({ hits, busy, more, problem }: Finding): string {
  if (hits.length > 0) return more ? t('resultsMany', { count: hits.length }) : count('results', hits.length)
  return busy ? t('searchingNow') : problem ? '' : t('nothingFound')
}

function Results({ panel, finding: shown }: { panel: SearchPanel; finding: Finding | undefined }) {
  if (!shown) return <p class="quiet" role="status">{status.value === 'open' ? t('searchingNow') : t('searchOffline')}</p>
  const { hits, busy, more, partial, problem } = shown
  const failed = problem && problem.code !== 'bad_query' ? problem : undefined
  return (
    <>
      <p class="quiet" role="status">
        {statusOf(shown)}
      </p>
      <ul
        class="results"
        onKeyDown={(event) => {
          if (!walk(event, '.results a')) return
          event.preventDefault()
        }}
      >
        {hits.map((hit) => (
          <Result key={`${hit.room} ${hit.seq}`} hit={hit} panel={panel} />
        ))}
      </ul>
      {hits.length === 0 && !busy && !problem && !partial && <p class="quiet">{t(panel.everywhere ? 'nothingFoundText' : 'nothingFoundHere')}</p>}
      {partial && !busy && <p class="quiet">{t('searchPartial')}</p>}
      {failed && (
        <p class="problem" role="alert">
          {failed.code === 'offline' ? t('searchOffline') : explain(failed)}
        </p>
      )}
      {(more || failed) && (
        <button type="button" class="secondary" disabled={busy} onClick={findMore}>
          {t(failed ? 'tryAgain' : 'moreResults')}
        </button>
      )}
    </>
  )
}

/** Moves the focus among elements by arrow keys; from the first one back to the field. */
export function walk(event: KeyboardEvent, selector: string): boolean {
  const by = event.key === 'ArrowDown' ? 1 : event.key === 'ArrowUp' ? -1 : 0
  if (by === 0) return false
  const all = [...document.querySelectorAll<HTMLElement>(selector)]
  const to = all.indexOf(document.activeElement as HTMLElement) + by
  if (to < 0) document.getElementById('search')?.focus()
  else all[to]?.focus()
  return true
}

function Result({ hit, panel }: { hit: Hit; panel: SearchPanel }) {
  const { room, seq, username: author, bot, time } = hit
  const place = { room, seq }
  return (
    <li>
      <a
        href={pathOf(place)}
        title={fullTimeOf(time)}
        onClick={(event) => {
          if (event.ctrlKey || event.metaKey || event.shiftKey) return
          event.preventDefault()
          // In front of the messages it would hide them. Elsewhere it is about another room now.
          visit(covered.peek() ? place : { ...place, panel: { ...panel, everywhere: panel.everywhere || room !== finding.peek()?.room } })
        }}
      >
        <span class="result-head">
          <bdi class={`author ${nickClass(author)}`}>{author}</bdi>
          {bot && <span class="badge">{t('bot')}</span>}
          {panel.everywhere && <Where name={room} />}
          <span class="quiet">
            {dayOf(time)}, {timeOf(time)}
          </span>
        </span>
        <Snippet hit={hit} />
        {marksOf(hit)}
      </a>
    </li>
  )
}

/** The text of a hit with what was found in it. Its marks count code points, and delimiters of markup are not shown. */
function Snippet({ hit }: { hit: Hit }) {
  return (
    <span class="excerpt" dir="auto">
      {piecesOf(hit).map(({ text, found }, i) => (found ? <mark key={i}>{text}</mark> : text))}
    </span>
  )
}

function piecesOf({ snippet, marks }: Hit): { text: string; found: boolean }[] {
  const pieces: { text: string; found: boolean }[] = []
  let at = 0
  const add = (text: string, shown = true) => {
    for (const character of text) {
      const found = marks.some(([start, length]) => start <= at && at < start + length)
      at++
      if (!shown) continue
      const last = pieces.at(-1)
      if (last?.found === found) last.text += character
      else pieces.push({ text: character, found })
    }
  }
  parse(snippet).forEach((line, i) => {
    if (i > 0) add('\n')
    for (const { text, mark } of line.spans) add(text, !mark)
  })
  return pieces
}
