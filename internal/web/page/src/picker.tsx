// Chooses people of the server, or rooms, by completion.

import { useSignal, type Signal } from '@preact/signals'
import type { FunctionComponent, TargetedKeyboardEvent } from 'preact'
import { useEffect, useRef } from 'preact/hooks'
import { problemOf, search } from './api'
import { Avatar } from './nick'
import type { Account, Problem } from './protocol'
import { rooms, username, type Room } from './state'
import { Cross } from './symbols'
import { explain, t } from './texts'

/** How long to wait for the next key before asking the server. Milliseconds. */
const typingWait = 120
/** The most rooms of a token or an invite. */
export const mostRooms = 20
/** The most people or rooms that are offered. */
const mostOffered = 8

/** What can be chosen. */
interface Offer {
  name: string
  text?: string
  badge?: string
}

interface Props {
  label: string
  chosen: Signal<string[]>
  /** The most that may be chosen. */
  most: number
}

/** How many people are looked for. */
const mostFound = 50

interface Found {
  asked: string
  people?: Account[]
  /** There may be more. */
  searching: boolean
  problem?: Problem
}

/** The people that match what has been typed, as the server knows them. */
function useFound(asked: string): Found {
  const found = useSignal<Found>({ asked, searching: true })
  useEffect(() => {
    const late = new AbortController()
    const people: Account[] = []
    const timer = setTimeout(() => {
      search<{ people: Account[]; after?: string }>(
        `v1/people?query=${encodeURIComponent(asked)}&limit=${mostFound}`,
        (page) => {
          people.push(...page.people)
          const searching = page.after !== undefined && people.length < mostFound
          if (!late.signal.aborted) found.value = { asked, people: [...people], searching }
          return searching && !late.signal.aborted
        },
        late.signal,
      ).catch((error: unknown) => {
        if (!late.signal.aborted) found.value = { asked, people, searching: false, problem: problemOf(error) }
      })
    }, typingWait)
    return () => {
      late.abort()
      clearTimeout(timer)
    }
  }, [asked])
  // What was found for another text is not offered for this one.
  return found.value.asked === asked ? found.value : { asked, searching: true }
}

/** Chooses people. Some are not offered. */
export function PeoplePicker({ without, ...rest }: Props & { without: ReadonlySet<string> }) {
  const query = useSignal('')
  const { people, searching, problem } = useFound(query.value.trim().replace(/^@/, ''))
  const offers = people
    ?.filter((p) => p.username !== username.value && !without.has(p.username))
    .map((p): Offer => ({ name: p.username, ...(p.name && p.name !== p.username ? { text: p.name } : {}), ...(p.bot ? { badge: t('bot') } : {}) }))
  return <Picker {...rest} focused query={query} offers={offers} searching={searching} problem={problem} none={t('nobodyFound')} Picture={({ name }) => <Avatar username={name} small />} />
}

/** Chooses rooms that the account is in, all or some of them. They are offered once something was typed. */
export function RoomPicker({ offered = () => true, ...props }: Props & { offered?: (room: Room) => boolean }) {
  const query = useSignal('')
  const asked = query.value.trim().toLowerCase().replace(/^#/, '')
  const offers = asked === '' ? [] : rooms.value.filter((r) => r.member.value && r.kind.value !== 'direct' && offered(r) && r.name.toLowerCase().includes(asked)).map((r): Offer => ({ name: r.name }))
  return (
    <div class="field rooms-field">
      <span aria-hidden="true">{props.label}</span>
      <Picker {...props} query={query} offers={offers} none={t('noRooms')} Picture={Hash} hint="" />
    </div>
  )
}

const Hash = () => (
  <span class="hash" aria-hidden="true">
    #
  </span>
)

interface PickerProps extends Props {
  query: Signal<string>
  /** Undefined before the server has answered. */
  offers: Offer[] | undefined
  /** There may be more offers. */
  searching?: boolean
  /** Why there may be more that cannot be offered. */
  problem?: Problem | undefined
  /** Shown if nothing matches. */
  none: string
  Picture: FunctionComponent<{ name: string }>
  focused?: boolean
  /** Stands in the empty field. */
  hint?: string
}

/** Keeps the text for which Enter was pressed before its offers were there, and chooses once they are. */
function useEntered(rendered: string, choose: (() => void) | undefined) {
  const entered = useRef<string | undefined>(undefined)
  useEffect(() => {
    if (!choose || entered.current !== rendered) return
    entered.current = undefined
    choose()
  })
  return entered
}

function Picker({ label, chosen, most, query, offers, searching = false, problem, none, Picture, focused = false, hint = label }: PickerProps) {
  const at = useSignal(0)
  const input = useRef<HTMLInputElement>(null)
  const offered = (offers ?? []).filter((o) => !chosen.value.includes(o.name)).slice(0, mostOffered)
  const index = Math.min(at.value, offered.length - 1)
  const rendered = query.value
  const choose = (offer: Offer | undefined) => {
    if (!offer || chosen.peek().length >= most || chosen.peek().includes(offer.name)) return
    chosen.value = [...chosen.value, offer.name]
    query.value = ''
    at.value = 0
    input.current!.focus()
  }
  const entered = useEntered(rendered, offers && (() => choose(offered[0])))
  const onKeyDown = (event: TargetedKeyboardEvent<HTMLInputElement>) => {
    if (event.isComposing) return
    if (event.key === 'ArrowDown') at.value = (index + 1) % Math.max(1, offered.length)
    else if (event.key === 'ArrowUp') at.value = (index - 1 + offered.length) % Math.max(1, offered.length)
    // The field may still show what has been chosen: it is rendered once a frame.
    else if (event.key === 'Enter' && query.peek() !== '') {
      // What is offered belongs to the text that was rendered, not to what has been typed since.
      if (offers && event.currentTarget.value === rendered) choose(offered[index])
      else entered.current = event.currentTarget.value
    } else {
      // Enter in an empty field sends the form.
      if (event.key === 'Backspace' && query.value === '') chosen.value = chosen.value.slice(0, -1)
      return
    }
    event.preventDefault()
  }
  return (
    <div class="picker">
      <div class="chips">
        <Chips chosen={chosen} Picture={Picture} />
        <input
          ref={input}
          type="text"
          role="combobox"
          aria-label={label}
          aria-expanded={offered.length > 0}
          aria-controls="people"
          aria-activedescendant={offered[index] ? `person-${index}` : undefined}
          aria-autocomplete="list"
          autocomplete="off"
          autofocus={focused}
          placeholder={chosen.value.length === 0 ? hint : ''}
          value={query.value}
          onInput={(event) => {
            query.value = event.currentTarget.value
            at.value = 0
          }}
          onKeyDown={onKeyDown}
        />
      </div>
      <Offered label={label} offers={offered} index={index} at={at} choose={choose} Picture={Picture} />
      <Outcome searching={searching} problem={problem} none={offers && offered.length === 0 && query.value.trim() !== '' ? none : undefined} />
    </div>
  )
}

/** Says whether the offers are all that there are. */
function Outcome({ searching, problem, none }: { searching: boolean; problem: Problem | undefined; none: string | undefined }) {
  if (problem) {
    return (
      <p class="problem" role="alert">
        {explain(problem)}
      </p>
    )
  }
  const text = searching ? t('searching') : none
  return text === undefined ? null : (
    <p class="quiet" role="status">
      {text}
    </p>
  )
}

/** Those that are chosen. */
function Chips({ chosen, Picture }: { chosen: Signal<string[]>; Picture: PickerProps['Picture'] }) {
  return (
    <>
      {chosen.value.map((name) => (
        <span class="chip" key={name}>
          <Picture name={name} />
          <bdi>{name}</bdi>
          <button type="button" class="icon" aria-label={t('removePerson', { name })} onClick={() => (chosen.value = chosen.value.filter((n) => n !== name))}>
            <Cross />
          </button>
        </span>
      ))}
    </>
  )
}

function Offered({ label, offers, index, at, choose, Picture }: { label: string; offers: Offer[]; index: number; at: Signal<number>; choose(offer: Offer): void; Picture: PickerProps['Picture'] }) {
  return (
    <ul id="people" class="choices-list" role="listbox" aria-label={label}>
      {offers.map((offer, i) => (
        <li key={offer.name} id={`person-${i}`} role="option" aria-selected={i === index} onClick={() => choose(offer)} onMouseMove={() => (at.value = i)}>
          <Picture name={offer.name} />
          <bdi>{offer.name}</bdi>
          {offer.text && <bdi class="quiet">{offer.text}</bdi>}
          <span class="spacer" />
          {offer.badge && <span class="badge">{offer.badge}</span>}
        </li>
      ))}
    </ul>
  )
}
