// The list above a field of what the word before the caret may become.

import { useComputed, useSignal, type ReadonlySignal } from '@preact/signals'
import type { RefObject } from 'preact'
import { useLayoutEffect } from 'preact/hooks'
import { begun, offersFor, written, type Begun, type Offer } from './completion'
import { use } from './emoji'
import { replace } from './field'
import { Avatar } from './nick'
import type { Field } from './state'
import { count, t } from './texts'

export interface Completion {
  offers: ReadonlySignal<Offer[]>
  /** The index of the offer that Enter takes. */
  at: ReadonlySignal<number>
  /** Looks at the word before the caret again. */
  look(): void
  /** After a change of the text: looks at the word, and makes a picture of a name in colons. */
  change(): void
  close(): void
  /** Handles a key; true if it was meant for the list. */
  key(event: KeyboardEvent): boolean
  take(offer: Offer): void
  point(at: number): void
}

export function useCompletion(input: RefObject<HTMLTextAreaElement | null>, field: Field): Completion {
  const token = useSignal<Begun | undefined>(undefined)
  const at = useSignal(0)
  /** The user has chosen by the arrow keys. */
  const moved = useSignal(false)
  /** Where the word begins that is to stay as it is. */
  const left = useSignal(-1)
  const offers = useComputed(() => (token.value && token.value.from !== left.value ? offersFor(token.value, field.room) : []))
  const close = () => {
    token.value = undefined
  }
  const look = () => {
    const el = input.current!
    const found = el.selectionStart === el.selectionEnd ? begun(el.value, el.selectionStart) : undefined
    const now = token.peek()
    if (found?.from === now?.from && found?.word === now?.word && found?.sign === now?.sign) return
    if (found?.from !== now?.from) left.value = -1
    token.value = found
    at.value = 0
    moved.value = false
  }
  const change = () => {
    const el = input.current!
    const named = written(el.value, el.selectionStart)
    if (!named) return look()
    use(named.emoji)
    replace(el, named.emoji, named.from, el.selectionStart)
  }
  const take = (offer: Offer) => {
    const el = input.current!
    const from = token.peek()?.from
    if (from === undefined) return
    if (offer.sign === ':') use(offer.text)
    const spaced = /^\s/.test(el.value.slice(el.selectionEnd)) ? '' : ' '
    replace(el, offer.text + spaced, from, el.selectionEnd)
    close()
  }
  const key = ({ key: name, shiftKey, altKey, ctrlKey, metaKey }: KeyboardEvent): boolean => {
    const all = offers.peek()
    const word = token.peek()
    if (all.length === 0 || !word || shiftKey || altKey || ctrlKey || metaKey) return false
    if (name === 'ArrowDown' || name === 'ArrowUp') {
      at.value = (at.peek() + (name === 'ArrowDown' ? 1 : all.length - 1)) % all.length
      moved.value = true
    } else if (name === 'Escape') left.value = word.from
    else if (name === 'Tab') take(all[at.peek()]!)
    else if (name === 'Enter') {
      // What is complete, or not begun, is sent.
      if (!moved.peek() && (word.word === '' || all[0]!.text.toLowerCase() === (word.sign + word.word).toLowerCase())) return false
      take(all[at.peek()]!)
    } else return false
    return true
  }
  useLayoutEffect(close, [field])
  const shownAt = useComputed(() => Math.min(at.value, offers.value.length - 1))
  return { offers, at: shownAt, look, change, close, key, take, point: (to) => (at.value = to) }
}

/** The ids of the list and of its options. */
export const listOf = (field: Field) => `${field.input}-offers`
export const optionOf = (field: Field, at: number) => `${field.input}-offer-${at}`

export function Offers({ field, completion }: { field: Field; completion: Completion }) {
  const { offers, at, take, point } = completion
  const all = offers.value
  return (
    <>
      {all.length > 0 && (
        // The field keeps the focus.
        <ul id={listOf(field)} class="offers choices-list" role="listbox" aria-label={t('offers')} onMouseDown={(event) => event.preventDefault()}>
          {all.map((offer, i) => (
            <li key={offer.text} id={optionOf(field, i)} role="option" aria-selected={i === at.value} onClick={() => take(offer)} onMouseMove={() => point(i)}>
              <Picture offer={offer} />
              <bdi>{offer.name}</bdi>
              {offer.more !== undefined && <bdi class="quiet">{offer.more}</bdi>}
            </li>
          ))}
        </ul>
      )}
      <span class="hidden" role="status">
        {all.length > 0 && count('offered', all.length)}
      </span>
    </>
  )
}

function Picture({ offer }: { offer: Offer }) {
  if (offer.sign === ':') {
    return (
      <span class="emoji" aria-hidden="true">
        {offer.text}
      </span>
    )
  }
  const everyone = offer.name === 'everyone' || offer.name === 'here'
  if (offer.sign === '@' && !everyone) return <Avatar username={offer.name} small />
  return (
    <span class="hash" aria-hidden="true">
      {offer.sign}
    </span>
  )
}
