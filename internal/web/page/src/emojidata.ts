// The list of emoji, which is loaded when it is first needed, and the search in it.

import { effect, signal } from '@preact/signals'
import german from 'emoji:de'
import english from 'emoji:en'
import list from 'emoji:list'
import { preference } from './preference'
import { language } from './texts'

/** An emoji of the list. Its names are without colons; its label is in the language of the user. */
export interface Emoji {
  text: string
  names: string[]
  label: string
  /** How it looks with a skin tone, for which 1 stands; empty if it has none. */
  toned: string
  group: number
  /** All words that it is found by, each behind a blank. */
  words: string
}

const wordsOf: Record<string, string> = { en: english, de: german }

/** All emoji, in the order of Unicode; undefined until they are loaded. */
export const emoji = signal<readonly Emoji[] | undefined>(undefined)
/** They could not be loaded. */
export const failed = signal(false)

/** The number of the skin tone that the user has chosen, 1 to 5; 0 for none. */
export const tone = preference('tone', 0)

export const tones = ['', '🏻', '🏼', '🏽', '🏾', '🏿']

const byName = new Map<string, Emoji>()
const byText = new Map<string, Emoji>()

/** The language of the list that is loaded or on its way. */
let loading: string | undefined
let arrival = Promise.resolve()

/** Loads the list, unless it is there. The promise ends when it is, or has failed. */
export const loadEmoji = (): Promise<void> => (loading === language.value ? arrival : (arrival = fetchEmoji(language.value)))

async function fetchEmoji(of: string): Promise<void> {
  loading = of
  failed.value = false
  try {
    const [lines, words] = await Promise.all([fetchLines(list), fetchLines(wordsOf[of] ?? english)])
    if (loading === of) take(lines, words)
  } catch {
    if (loading !== of) return
    loading = undefined
    failed.value = true
  }
}

// The words are those of the language.
effect(() => {
  void language.value
  if (loading !== undefined) void loadEmoji()
})

async function fetchLines(file: string): Promise<string[]> {
  const response = await fetch(new URL(file, import.meta.url))
  if (!response.ok) throw new Error(`${file}: ${response.status}`)
  const text = await response.text()
  // The license stands above.
  return text.slice(text.indexOf('\n--\n') + 4).trimEnd().split('\n')
}

function take(lines: string[], words: string[]): void {
  const all: Emoji[] = []
  let group = 0
  for (const line of lines) {
    if (line === '') {
      group++
      continue
    }
    const [text, names, toned = ''] = line.split(' ') as [string, string, string?]
    const [label, further] = words[all.length]!.split('\t') as [string, string]
    const found = ` ${names.replaceAll(/[,_]/g, ' ')} ${label.toLowerCase().replaceAll(/[^\p{L}\p{N}]+/gu, ' ')} ${further.toLowerCase()}`
    all.push({ text, names: names.split(','), label, toned, group, words: found })
  }
  byName.clear()
  byText.clear()
  for (const e of all) {
    byText.set(bare(e.text), e)
    for (const name of e.names) byName.set(name, e)
  }
  emoji.value = all
}

/** An emoji without skin tones and selectors of variation. */
const bare = (text: string) => text.replaceAll(/[\ufe0e\ufe0f\u{1f3fb}-\u{1f3ff}]/gu, '')

/** The emoji of the list that a text shows, with whichever tone. */
export const emojiOf = (text: string): Emoji | undefined => byText.get(bare(text))

/** The emoji with a name, in the tone of the user. */
export function named(name: string): string | undefined {
  const found = byName.get(name.toLowerCase())
  return found && inTone(found)
}

/** The emoji as the user wants to see it. */
export function inTone(e: Emoji): string {
  return tone.value > 0 && e.toned !== '' ? e.toned.replaceAll('1', tones[tone.value]!) : e.text
}

/** The emoji that words lead to, the best first: those with such a name, or whose name begins so. */
export function find(query: string, most: number): Emoji[] {
  const asked = query.toLowerCase().replaceAll(/[^\p{L}\p{N}+-]+/gu, ' ').trim()
  if (asked === '' || !emoji.value) return []
  const words = asked.split(' ').map((word) => ` ${word}`)
  const name = asked.replaceAll(' ', '_')
  const ranked: Emoji[][] = [[], [], [], []]
  for (const e of emoji.value) {
    if (e.names.includes(name)) ranked[0]!.push(e)
    else if (e.names.some((n) => n.startsWith(name))) ranked[1]!.push(e)
    else if (e.label.toLowerCase().startsWith(asked)) ranked[2]!.push(e)
    else if (words.every((word) => e.words.includes(word))) ranked[3]!.push(e)
  }
  return ranked.flat().slice(0, most)
}
