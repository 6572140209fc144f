// Completes the operators of a search, as internal/search reads them.

import { dayBefore, isoDay } from './texts'

export interface Offer {
  /** What takes the place of the word before the caret. */
  text: string
  /** The key of a text that explains it, if it needs that. */
  help?: 'opFrom' | 'opIn' | 'opBefore' | 'opAfter' | 'opLink' | 'opFile' | 'opMentions' | 'opPinned' | 'opPhrase' | 'opWithout' | 'opPrefix'
}

/** What is offered for a word, which is from `from` to the caret. */
export interface Completion {
  from: number
  offers: Offer[]
}

/** The names that operators may have. */
export interface Names {
  rooms: string[]
  people: string[]
}

const operators: Offer[] = [
  { text: 'from:', help: 'opFrom' },
  { text: 'in:', help: 'opIn' },
  { text: 'before:', help: 'opBefore' },
  { text: 'after:', help: 'opAfter' },
  { text: 'has:link', help: 'opLink' },
  { text: 'has:file', help: 'opFile' },
  { text: 'mentions:me', help: 'opMentions' },
  { text: 'is:pinned', help: 'opPinned' },
]

/** All operators, for somebody that has written nothing yet. */
export const everything: Offer[] = [...operators, { text: '"…"', help: 'opPhrase' }, { text: '-…', help: 'opWithout' }, { text: '…*', help: 'opPrefix' }]

/** The most that is offered at a time. */
const mostOffered = 8

/** What may follow at the caret. Nothing is offered for a word that is complete. */
export function complete(query: string, caret: number, names: Names): Completion {
  const word = /(?:^|\s)-?([^\s"]*)$/.exec(query.slice(0, caret))?.[1] ?? ''
  const from = caret - word.length
  const offers = offersFor(word.toLowerCase(), names).filter((o) => o.text !== word)
  return { from, offers: offers.slice(0, mostOffered) }
}

function offersFor(word: string, names: Names): Offer[] {
  if (word === '') return []
  const at = word.indexOf(':')
  if (at < 0) return operators.filter((o) => o.text.startsWith(word))
  const operator = word.slice(0, at + 1)
  const begun = word.slice(at + 1).replace(/^[@#]/, '')
  return valuesOf(operator, names).filter((value) => value.toLowerCase().startsWith(begun)).map((value) => ({ text: operator + value }))
}

function valuesOf(operator: string, { rooms, people }: Names): string[] {
  switch (operator) {
    case 'from:':
      return people
    case 'in:':
      return rooms
    case 'before:':
    case 'after:':
    case 'on:':
      return ['today', 'yesterday', isoDay(dayBefore(7)), isoDay(dayBefore(30)).slice(0, 7), isoDay(dayBefore(0)).slice(0, 4)]
    case 'has:':
      return ['link', 'file']
    case 'mentions:':
      return ['me']
    case 'is:':
      return ['pinned']
    default:
      return []
  }
}
