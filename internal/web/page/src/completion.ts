// What a word that is being written may become: a name behind an @, a room behind a #, an emoji
// behind a colon.

import { emoji, find, inTone, loadEmoji, named } from './emojidata'
import type { Member } from './protocol'
import { directory, rooms, username, type Room } from './state'
import { t } from './texts'

/** The most that is offered. */
const mostOffered = 8
/** So many messages back, whoever has written is offered first. */
const lately = 50
/** So many characters back, a word may begin. */
const longest = 80

/** The word before the caret, and where its sign stands. */
export interface Begun {
  sign: '@' | '#' | ':'
  word: string
  from: number
}

/** What a word may become. */
export interface Offer {
  /** It takes the place of the sign and the word. */
  text: string
  sign: Begun['sign']
  name: string
  more?: string
}

const beginning = /(?:^|[\s([{"'])(?:([@#])([\p{L}\p{M}\p{N}_.-]*)|(:)([\p{L}\p{M}\p{N}_+-]{2,}))$/u

/** The word before the caret, if something may complete it. */
export function begun(text: string, caret: number): Begun | undefined {
  const found = beginning.exec(text.slice(Math.max(0, caret - longest), caret))
  if (!found) return undefined
  const word = (found[2] ?? found[4])!
  return { sign: (found[1] ?? found[3]) as Begun['sign'], word, from: caret - word.length - 1 }
}

/** What a word may become, the likeliest first. */
export function offersFor({ sign, word }: Begun, room: Room): Offer[] {
  if (sign === '@') return people(word, room)
  if (sign === '#') return roomsNamed(word)
  if (!emoji.value) void loadEmoji()
  return find(word, mostOffered).map((e): Offer => {
    const name = e.names.find((n) => n.startsWith(word.toLowerCase())) ?? e.names[0]!
    return { text: inTone(e), sign, name: `:${name}:`, more: e.label }
  })
}

/** The name of an emoji was written out, with both colons, before the list of emoji was there. */
let missed = false

/** An emoji whose name has been written out, with both colons. */
export function written(text: string, caret: number): { emoji: string; from: number } | undefined {
  const found = /(?:^|[\s([{"'])(:([a-z0-9_+-]+):)$/i.exec(text.slice(Math.max(0, caret - longest), caret))
  if (found && !emoji.peek()) {
    missed = true
    void loadEmoji()
  }
  const picture = found && named(found[2]!)
  return picture ? { emoji: picture, from: caret - found[1]!.length } : undefined
}

/** A text that is sent, with emoji for names that were written out before the list was there. */
export function spelled(text: string): string {
  if (!missed) return text
  missed = !emoji.peek()
  return text.replace(/(^|[\s([{"'])(:([a-z0-9_+-]+):)/gi, (_, before: string, all: string, name: string) => before + (named(name) ?? all))
}

/** How long a message waits for the list. Milliseconds. */
const mostWait = 3000

/** Waits until the names in a text are known; undefined if nothing has to be waited for. */
export function spelling(text: string): Promise<void> | undefined {
  if (!missed || emoji.peek() || !text.includes(':')) return undefined
  return new Promise((resolve) => {
    setTimeout(resolve, mostWait)
    void loadEmoji().then(resolve)
  })
}

const begins = (name: string, word: string) => name.toLowerCase().startsWith(word)

function people(word: string, room: Room): Offer[] {
  const wanted = word.toLowerCase()
  const order = authors(room)
  const rank = ({ username: name, name: shown = '' }: Member): number => {
    if (begins(name, wanted)) return 0
    if (shown.split(/\s+/).some((part) => begins(part, wanted))) return 1
    return wanted.length > 1 && name.toLowerCase().includes(wanted) ? 2 : 3
  }
  const place = (m: Member) => (m.username === username.value ? lately + 1 : (order.get(m.username) ?? lately))
  const everyone = [
    { name: 'everyone', more: t('mentionEveryone') },
    { name: 'here', more: t('mentionHere') },
  ].filter(({ name }) => begins(name, wanted))
  const found = (room.members.value ?? [])
    .map((m) => ({ m, rank: rank(m), place: place(m) }))
    .filter((one) => one.rank < 3)
    .sort((x, y) => x.rank - y.rank || x.place - y.place)
    .slice(0, mostOffered - everyone.length)
    .map(({ m }) => ({ name: m.username, ...(m.name && m.name !== m.username ? { more: m.name } : {}) }))
  return [...found, ...everyone].map((one): Offer => ({ ...one, text: `@${one.name}`, sign: '@' }))
}

/** Who has written last, each with a place. */
function authors({ log }: Room): Map<string, number> {
  const order = new Map<string, number>()
  const { messages } = log
  for (let i = messages.length - 1; i >= Math.max(0, messages.length - lately); i--) {
    const { username: name, change } = messages[i]!
    if (!change && !order.has(name)) order.set(name, order.size)
  }
  return order
}

function roomsNamed(word: string): Offer[] {
  const wanted = word.toLowerCase()
  const mine = rooms.value.filter((r) => r.kind.value !== 'direct').map((r) => r.name)
  const all = [...new Set([...mine, ...directory.value.map((r) => r.room)])]
  const first = all.filter((name) => begins(name, wanted))
  const others = wanted.length > 1 ? all.filter((name) => !begins(name, wanted) && name.toLowerCase().includes(wanted)) : []
  return [...first, ...others].slice(0, mostOffered).map((name) => ({ text: `#${name}`, sign: '#', name }))
}
