// The texts of files, once they are loaded.

import { signal } from '@preact/signals'
import { countIn, explain, fill, language, type Values } from './texts'
import type { Problem } from './protocol'
import { en, type FileTexts } from './texts.files.en'

const shown = signal<FileTexts>(en)

/** Shows the texts of a language. */
export const speak = (texts: FileTexts): void => void (shown.value = texts)

/** A text by its key, with its {placeholders} filled in. */
export const f = (key: keyof FileTexts, values: Values = {}): string => fill(shown.value[key], values)

/** A text that depends on a number. */
export const counted = (key: string, n: number): string => countIn(shown.value, key, n)

const units = ['byte', 'kilobyte', 'megabyte', 'gigabyte', 'terabyte'] as const

/** A number of bytes in words, with as many digits as somebody wants to read. */
export function sizeOf(bytes: number): string {
  let n = bytes
  let unit = 0
  for (; n >= 999.5 && unit < units.length - 1; unit++) n /= 1000
  return new Intl.NumberFormat(language.value, { style: 'unit', unit: units[unit]!, unitDisplay: unit === 0 ? 'long' : 'short', maximumFractionDigits: n < 10 && unit > 0 ? 1 : 0 }).format(n)
}

/** What a type is called: the end of the name, or the type itself. */
export function kindOf({ name, type }: { name: string; type: string }): string {
  const end = /\.([a-z0-9]{1,5})$/i.exec(name)?.[1]
  return end ? end.toUpperCase() : type.split(';')[0]!
}

/** Why a file was refused. */
export function refusal(problem: Problem): string {
  const { code, max } = problem
  if (code === 'too_large' && max) return f('tooLarge', { max: sizeOf(max) })
  if (code === 'too_large') return f('tooLargeSomewhere')
  if (code === 'quota_exceeded') return max ? f('quota', { max: sizeOf(max) }) : f('quotaServer')
  if (code === 'bad_type') return f('badType')
  if (code === 'unavailable') return f('noFiles')
  return explain(problem)
}
