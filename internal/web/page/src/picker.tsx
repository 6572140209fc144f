// Chooses people of the server by completion.

import { useSignal, type Signal } from '@preact/signals'
import { useEffect, useRef } from 'preact/hooks'
import { call } from './api'
import { Avatar } from './nick'
import type { Account } from './protocol'
import { username } from './state'
import { Cross } from './symbols'
import { t } from './texts'

/** How long to wait for the next key before asking the server. Milliseconds. */
const typingWait = 120
/** The most people that are offered. */
const mostOffered = 8

interface Props {
  label: string
  chosen: Signal<string[]>
  /** Those who are not offered. */
  without: ReadonlySet<string>
  /** The most people that may be chosen. */
  most: number
}

/** The people that match what has been typed, as the server knows them. */
function useFound(asked: string): Signal<Account[] | undefined> {
  const found = useSignal<Account[] | undefined>(undefined)
  useEffect(() => {
    let late = false
    const timer = setTimeout(() => {
      call<{ people: Account[] }>('GET', `v1/people?query=${encodeURIComponent(asked)}&limit=50`).then(
        ({ people }) => {
          if (!late) found.value = people
        },
        () => undefined, // the next key asks again
      )
    }, typingWait)
    return () => {
      late = true
      clearTimeout(timer)
    }
  }, [asked])
  return found
}

export function PeoplePicker({ label, chosen, without, most }: Props) {
  const query = useSignal('')
  const at = useSignal(0)
  const input = useRef<HTMLInputElement>(null)
  const asked = query.value.trim().replace(/^@/, '')
  const found = useFound(asked).value
  const offered = (found ?? []).filter((p) => p.username !== username.value && !without.has(p.username) && !chosen.value.includes(p.username)).slice(0, mostOffered)
  const index = Math.min(at.value, offered.length - 1)
  const choose = (person: Account | undefined) => {
    if (!person || chosen.peek().length >= most || chosen.peek().includes(person.username)) return
    chosen.value = [...chosen.value, person.username]
    query.value = ''
    at.value = 0
    input.current!.focus()
  }
  const onKeyDown = (event: KeyboardEvent) => {
    if (event.isComposing) return
    if (event.key === 'ArrowDown') at.value = (index + 1) % Math.max(1, offered.length)
    else if (event.key === 'ArrowUp') at.value = (index - 1 + offered.length) % Math.max(1, offered.length)
    else if (event.key === 'Enter' && query.peek() !== '') choose(offered[index])
    else {
      // Enter in an empty field sends the form.
      if (event.key === 'Backspace' && query.value === '') chosen.value = chosen.value.slice(0, -1)
      return
    }
    event.preventDefault()
  }
  return (
    <div class="picker">
      <div class="chips">
        <Chips chosen={chosen} />
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
          autofocus
          placeholder={chosen.value.length === 0 ? label : ''}
          value={query.value}
          onInput={(event) => {
            query.value = event.currentTarget.value
            at.value = 0
          }}
          onKeyDown={onKeyDown}
        />
      </div>
      <Offered label={label} people={offered} index={index} at={at} choose={choose} />
      {found && offered.length === 0 && asked !== '' && (
        <p class="quiet" role="status">
          {t('nobodyFound')}
        </p>
      )}
    </div>
  )
}

/** Those who are chosen. */
function Chips({ chosen }: { chosen: Signal<string[]> }) {
  return (
    <>
      {chosen.value.map((name) => (
        <span class="chip" key={name}>
          <Avatar username={name} small />
          <bdi>{name}</bdi>
          <button type="button" class="icon" aria-label={t('removePerson', { name })} onClick={() => (chosen.value = chosen.value.filter((n) => n !== name))}>
            <Cross />
          </button>
        </span>
      ))}
    </>
  )
}

function Offered({ label, people, index, at, choose }: { label: string; people: Account[]; index: number; at: Signal<number>; choose(person: Account): void }) {
  return (
    <ul id="people" class="choices-list" role="listbox" aria-label={label}>
      {people.map((person, i) => (
        <li key={person.username} id={`person-${i}`} role="option" aria-selected={i === index} onClick={() => choose(person)} onMouseMove={() => (at.value = i)}>
          <Avatar username={person.username} small />
          <bdi>{person.username}</bdi>
          {person.name && person.name !== person.username && <bdi class="quiet">{person.name}</bdi>}
          <span class="spacer" />
          {person.bot && <span class="badge">{t('bot')}</span>}
        </li>
      ))}
    </ul>
  )
}
