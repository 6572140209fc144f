// Texts, dates and numbers in the language of the user.

import { batch, computed, signal } from '@preact/signals'
import { load, onKept } from './storage'
import type { AdminTexts } from './texts.admin.en'
import type { FileTexts } from './texts.files.en'
import { en, type Texts } from './texts.en'

/** The texts of a language, and the address of their file if it is not that of the page. */
interface Loaded {
  texts: Texts
  file?: string
}

/**
 * By tag, each with its own name for itself. English is part of the page; the others, and what
 * only admins read, are loaded when they are wanted.
 */
export const languages: Record<string, { name: string; load(): Promise<Loaded>; admin(): Promise<{ texts: AdminTexts }>; files(): Promise<{ texts: FileTexts }> }> = {
  en: { name: 'English', load: () => Promise.resolve({ texts: en }), admin: () => import('./texts.admin.en'), files: () => import('./texts.files.en') },
  de: { name: 'Deutsch', load: () => import('./texts.de'), admin: () => import('./texts.admin.de'), files: () => import('./texts.files.de') },
}

function preferred(): string {
  for (const tag of [load('language') ?? '', ...navigator.languages]) {
    const short = tag.split('-')[0]!.toLowerCase()
    if (Object.hasOwn(languages, short)) return short
  }
  return 'en'
}

/** The language of the page: what it shows is in it, so it changes once the texts are there. */
export const language = signal('en')
const shown = signal<Loaded>({ texts: en })
const texts = computed(() => shown.value.texts)
let wanted = ''

/**
 * Shows the page in a language of the list. If its texts cannot be loaded, the page stays as it
 * is, and the promise is rejected.
 */
export async function speak(tag: string): Promise<void> {
  wanted = tag
  const loaded = await languages[tag]!.load()
  if (wanted !== tag) return
  batch(() => {
    shown.value = loaded
    language.value = tag
  })
}

/** Shows the page in the language that the user has chosen, or else the browser; in English without its texts. */
export const speakPreferred = (): Promise<void> => speak(preferred()).catch(() => undefined)
// Another tab may choose it.
onKept('language', () => void speakPreferred())

// A service worker keeps what is loaded through it. At a first visit and with a new version it
// comes after the texts.
navigator.serviceWorker?.addEventListener('controllerchange', () => {
  const { file } = shown.peek()
  if (file !== undefined) void fetch(file).catch(() => undefined)
})
const plurals = computed(() => new Intl.PluralRules(language.value))
const numbers = computed(() => new Intl.NumberFormat(language.value))

const rightToLeft = /[\u0590-\u08ff\ufb1d-\ufdff\ufe70-\ufefc\u202e\u2067]/

export type Values = Record<string, string | number>

/** A text with its {placeholders} filled in. */
export function fill(text: string, values: Values): string {
  return text.replace(/\{(\w+)\}/g, (whole, name: string) => {
    const value = values[name]
    if (typeof value === 'number') return numbers.value.format(value)
    // A name written from right to left must not change the direction of the text around it.
    return value !== undefined && rightToLeft.test(value) ? `\u2068${value}\u2069` : (value ?? whole)
  })
}

/** A text by its key, with its {placeholders} filled in. */
export function t(key: keyof Texts, values: Values = {}): string {
  return fill(texts.value[key], values)
}

/** The texts that depend on a number, without _one or _other. */
type Counted = { [K in keyof Texts]: K extends `${infer Base}_other` ? Base : never }[keyof Texts]

/** A text that depends on a number. */
export function count(key: Counted, n: number, values: Values = {}): string {
  return countIn(texts.value, key, n, values)
}

/** A text of other texts that depends on a number. */
export function countIn(all: Record<string, string>, key: string, n: number, values: Values = {}): string {
  return fill(all[`${key}_${plurals.value.select(n)}`] ?? all[`${key}_other`] ?? key, { ...values, count: n })
}

/** The text of an error, in the user's language if the code is known. */
export function explain(refusal: { code: string; message: string; field?: string; max?: number; actual?: number }): string {
  if (refusal.code === 'bad_field' && refusal.field === 'password') return t('err_password')
  const all = texts.value as Record<string, string>
  const known = all[`err_${refusal.code}`] ?? all[`err_${/^(provider|linking|confirming|unproven)_/.exec(refusal.code)?.[1]}`]
  if (known === undefined) return t('err_other', { message: refusal.message })
  const { message } = refusal
  const sentence = known.startsWith('{message}') ? message.slice(0, 1).toUpperCase() + message.slice(1) : message
  return fill(known, { message: sentence, max: refusal.max ?? 0, actual: refusal.actual ?? 0 })
}

const lists = computed(() => new Intl.ListFormat(language.value))

/** Names in a list, as a sentence has them. */
export const listOf = (names: string[]): string => lists.value.format(names)

const clock = computed(() => new Intl.DateTimeFormat(language.value, { timeStyle: 'short' }))
const day = computed(() => new Intl.DateTimeFormat(language.value, { weekday: 'long', day: 'numeric', month: 'long' }))
const dayAndYear = computed(() => new Intl.DateTimeFormat(language.value, { day: 'numeric', month: 'long', year: 'numeric' }))
const full = computed(() => new Intl.DateTimeFormat(language.value, { dateStyle: 'full', timeStyle: 'medium' }))

function format(how: Intl.DateTimeFormat, time: string): string {
  const date = new Date(time)
  return Number.isNaN(date.getTime()) ? '' : how.format(date)
}

export const timeOf = (time: string) => format(clock.value, time)

/** The time without AM or PM, for places with little room. */
export function shortTimeOf(time: string): string {
  const date = new Date(time)
  if (Number.isNaN(date.getTime())) return ''
  return clock.value
    .formatToParts(date)
    .filter((part) => part.type !== 'dayPeriod')
    .map((part) => part.value)
    .join('')
    .trim()
}
export const fullTimeOf = (time: string) => format(full.value, time)

/** The day, as its midnight: read it to be rendered again when the next one begins. */
const today = signal(midnight())

function midnight(): number {
  return new Date().setHours(0, 0, 0, 0)
}

/** Checks for a new day, now and after midnight. Timers stop while a machine sleeps. */
function followDay(): void {
  today.value = midnight()
  clearTimeout(nextDay)
  const now = new Date()
  nextDay = setTimeout(followDay, new Date(now.getFullYear(), now.getMonth(), now.getDate() + 1).getTime() - now.getTime() + 50)
}
let nextDay: ReturnType<typeof setTimeout> | undefined
followDay()
for (const name of ['focus', 'pageshow']) addEventListener(name, followDay)
document.addEventListener('visibilitychange', followDay)

const shortDay = computed(() => new Intl.DateTimeFormat(language.value, { weekday: 'short', timeZone: 'UTC' }))

/** The short name of a day of the week, 0 for Monday. */
export const weekdayOf = (day: number): string => shortDay.value.format(Date.UTC(2024, 0, 1 + day))

/** A moment for the middle of a sentence, in milliseconds since 1970: its time, and its day if that is another one. */
export function untilOf(time: number): string {
  const iso = new Date(time).toISOString()
  return new Date(time).setHours(0, 0, 0, 0) === today.value ? timeOf(iso) : `${dayIn(iso)}, ${timeOf(iso)}`
}

/** A length of time as the server has it, such as 12h or 90d, in words. */
export function ageOf(age: string): string {
  const n = parseInt(age, 10)
  const [count, unit] = age.endsWith('h') ? [n, 'hour'] : n % 365 === 0 ? [n / 365, 'year'] : [n, 'day']
  return new Intl.NumberFormat(language.value, { style: 'unit', unit, unitDisplay: 'long' }).format(count)
}

/** The time zone of the user, by its IANA name. */
export const zone = (): string => Intl.DateTimeFormat().resolvedOptions().timeZone

/** A day so many days before today. */
export function dayBefore(days: number): Date {
  const day = new Date(today.value)
  day.setDate(day.getDate() - days)
  return day
}

/** A day as searches have it: 2026-01-31. */
export const isoDay = (day: Date): string => [day.getFullYear(), day.getMonth() + 1, day.getDate()].map((n) => String(n).padStart(2, '0')).join('-')

/** A day within a sentence. */
export function dayIn(time: string): string {
  const name = dayOf(time)
  return name === t('today') || name === t('yesterday') ? name.toLocaleLowerCase(language.value) : name
}

/** A moment that stands alone, such as "Today, 6:40 PM". */
export const momentOf = (time: string): string => `${dayOf(time)}, ${timeOf(time)}`

/** The day of a message, for its divider. */
export function dayOf(time: string): string {
  const date = new Date(time)
  const now = new Date(today.value)
  if (date.toDateString() === now.toDateString()) return t('today')
  if (date.toDateString() === new Date(now.getFullYear(), now.getMonth(), now.getDate() - 1).toDateString()) return t('yesterday')
  return format(date.getFullYear() === now.getFullYear() ? day.value : dayAndYear.value, time)
}
