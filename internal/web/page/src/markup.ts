// Reads the markup of messages: finds emphasis, code, quotes, tables, addresses and
// mentions in a content. docs/markup.md specifies it. internal/markup is the same
// reader in Go, file by file, and both pass the table in markuptest.
//
// Nothing is lost: the texts of the spans of a line are the line as it was written,
// and only delimiters of recognised markup are marks. Time and memory grow linearly
// with the content. None of this knows the document.

import { isBlank, trim, trimEnd, trimTicks } from './markup-characters'
import { appendInline } from './markup-inline'
import { mentionsName, mentionsOnly } from './markup-mention'
import { Code, Language, markOf, span, type Line, type Span } from './markup-span'
import { appendTable, tableAt } from './markup-table'

/** How deep quotes nest; further ">" are text. */
const maxQuote = 3
/** The longest name of a language. */
const maxLanguage = 24

export function parse(content: string): Line[] {
  const texts = content.split('\n')
  const lines: Line[] = []
  const closers = closersOf(content, texts)
  for (let i = 0; i < texts.length; ) {
    const block = blockAt(texts, closers, i)
    if (block > 0) {
      appendBlock(lines, texts.slice(i, i + block))
      i += block
      continue
    }
    const table = tableAt(texts, i)
    if (table > 0) {
      appendTable(lines, texts.slice(i, i + table))
      i += table
      continue
    }
    lines.push(textLine(texts[i]!, (lines[i - 1]?.quote ?? 0) > 0))
    i++
  }
  return lines
}

/** Reads a line that is in no block. Below a quoted line a lone ">" is an empty line of that quote. */
function textLine(text: string, quoted: boolean): Line {
  if (quoted && trimEnd(text) === '>') return { kind: 'text', quote: 1, spans: [markOf(text)] }
  let quote = 0
  while (quote < maxQuote && text.startsWith('> ', 2 * quote) && !isBlank(text.slice(2 * quote + 2))) quote++
  const spans: Span[] = []
  if (quote > 0) spans.push(markOf(text.slice(0, 2 * quote)))
  appendInline(spans, text.slice(2 * quote))
  return { kind: 'text', quote, spans }
}

// Blocks of code

/** How a line may end a block: with a fence of n; `most` is of this line and all below. */
interface Closer {
  n: number
  most: number
}

function closersOf(content: string, texts: string[]): Closer[] {
  if (!content.includes('```')) return []
  const closers: Closer[] = new Array<Closer>(texts.length)
  let most = 0
  for (let i = texts.length - 1; i >= 0; i--) {
    const text = trimEnd(texts[i]!)
    const before = trimTicks(text)
    let n = text.length - before.length
    if (n < 3 || before.includes('```')) n = 0
    most = Math.max(most, n)
    closers[i] = { n, most }
  }
  return closers
}

/** How many lines the block has that begins at a line; 0 if none does. */
function blockAt(texts: string[], closers: Closer[], i: number): number {
  if (closers.length === 0) return 0
  const [n, rest] = cutFence(texts[i]!)
  if (n === 0 || i + 1 === texts.length || closers[i + 1]!.most < n) return 0
  let something = !isBlank(rest) && !isLanguage(trim(rest))
  let j = i + 1
  for (; closers[j]!.n < n; j++) something ||= !isBlank(texts[j]!)
  if (!something && isBlank(trimTicks(trimEnd(texts[j]!)))) return 0
  return j - i + 1
}

/** How long the fence is that a line begins with, and the rest of the line. */
function cutFence(text: string): [number, string] {
  const found = /^[ \t]*(`{3,})([^`]*)$/.exec(text)
  return found ? [found[1]!.length, found[2]!] : [0, '']
}

function isLanguage(text: string): boolean {
  return text.length <= maxLanguage && /^[A-Za-z0-9+#._-]+$/.test(text)
}

function appendBlock(lines: Line[], texts: string[]): void {
  const add = (...spans: Span[]) => void lines.push({ kind: 'block', quote: 0, spans: spans.filter((s) => s.text !== '') })
  const first = texts[0]!
  const last = texts[texts.length - 1]!
  const rest = cutFence(first)[1]
  const at = first.length - rest.length
  const name = trim(rest)
  if (name === '') {
    add(markOf(first))
  } else if (isLanguage(name)) {
    const begin = at + rest.indexOf(name)
    add(markOf(first.slice(0, begin)), span(name, Language), markOf(first.slice(begin + name.length)))
  } else {
    add(markOf(first.slice(0, at)), span(rest, Code))
  }
  for (const text of texts.slice(1, -1)) add(span(text, Code))
  let code = trimTicks(trimEnd(last))
  if (trim(code) === '') code = ''
  add(span(code, Code), markOf(last.slice(code.length)))
}

/** Whether a content mentions a name itself. */
export function mentionsDirectly(content: string, name: string): boolean {
  return content.includes('@') && parse(content).some((line) => line.spans.some((s) => mentionsOnly(s, name)))
}

/** Whether a content mentions a name, or everybody. */
export function mentions(content: string, name: string): boolean {
  return content.includes('@') && parse(content).some((line) => line.spans.some((s) => mentionsName(s, name)))
}
