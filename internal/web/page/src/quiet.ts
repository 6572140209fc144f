// What notifies an account besides mentions, and when nothing does. The server keeps it for all devices.

import { computed, signal } from '@preact/signals'
import type { Notifications, Quiet } from './protocol'

/** What the account wants to be notified of. */
export const notifications = signal<Notifications>({})

export const weekdays = ['mon', 'tue', 'wed', 'thu', 'fri', 'sat', 'sun'] as const

/** How often the hours are looked at. Milliseconds. */
const every = 20_000
const now = signal(Date.now())
setInterval(() => (now.value = Date.now()), every)

/** Whether the account does not want to be disturbed now, for what the page shows. */
export const quietNow = computed(() => isQuiet(notifications.value.quiet, Math.max(now.value, Date.now())))

/** Whether somebody does not want to be disturbed at a time, in milliseconds since 1970. */
export function isQuiet(quiet: Quiet | undefined, time: number): boolean {
  if (!quiet) return false
  if ((quiet.until_ms ?? 0) > time) return true
  const { from, to, zone, days = weekdays } = quiet
  if (from === undefined || to === undefined) return false
  const at = clockIn(zone, time)
  if (!at) return false
  const on = (day: number) => days.includes(weekdays[(day + 7) % 7]!)
  if (from < to) return from <= at.time && at.time < to && on(at.day)
  // The part after midnight belongs to the day before.
  return (from <= at.time && on(at.day)) || (at.time < to && on(at.day - 1))
}

/** The time of day in a zone, as "22:00", and the day of the week, 0 for Monday. Undefined if the browser does not know the zone. */
function clockIn(zone: string | undefined, time: number): { time: string; day: number } | undefined {
  try {
    const format = new Intl.DateTimeFormat('en-GB', { timeZone: zone, weekday: 'short', hour: '2-digit', minute: '2-digit', hourCycle: 'h23' })
    const parts = Object.fromEntries(format.formatToParts(time).map(({ type, value }) => [type, value]))
    return { time: `${parts.hour}:${parts.minute}`, day: (weekdays as readonly string[]).indexOf(parts.weekday!.toLowerCase()) }
  } catch {
    return undefined
  }
}

/** A letter before or behind which no keyword ends. Scripts without spaces between words have none. */
const letter = '(?!\\p{Script=Han}|\\p{Script=Hiragana}|\\p{Script=Katakana}|\\p{Script=Thai})[\\p{L}\\p{N}\\p{M}_]'
const isLetter = new RegExp(letter, 'u')

const patterns = computed(() => (notifications.value.keywords ?? []).map(patternOf))

function patternOf(word: string): RegExp {
  const chars = [...word.normalize('NFKC')]
  const text = chars.map((c) => (/\s/u.test(c) ? '\\s' : /[\p{L}\p{N}\p{M}_]/u.test(c) ? c : `\\u{${c.codePointAt(0)!.toString(16)}}`)).join('')
  const begin = isLetter.test(chars[0] ?? '') ? `(?<!${letter})` : ''
  const end = isLetter.test(chars[chars.length - 1] ?? '') ? `(?!${letter})` : ''
  return new RegExp(begin + text + end, 'iu')
}

/** Whether a content has a keyword of the account, as whole words in any case. */
export function hasKeyword(content: string): boolean {
  const text = patterns.value.length > 0 ? content.normalize('NFKC') : ''
  return patterns.value.some((pattern) => pattern.test(text))
}
