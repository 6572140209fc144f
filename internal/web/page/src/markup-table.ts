// Tables: a head, a rule and rows.

import { isBlank, trim, trimEnd } from './markup-characters'
import { appendInline } from './markup-inline'
import { markOf, type Line, type Span } from './markup-span'

/** How many lines the table has that begins at a line: a head, a rule and rows. 0 if there is none. */
export function tableAt(texts: string[], i: number): number {
  const head = texts[i]!
  const rule = texts[i + 1]
  if (rule === undefined || !head.startsWith('|') || !isRow(head) || !isRule(rule)) return 0
  if (bars(head).length !== bars(rule).length || isBlank(head.replaceAll('|', ' '))) return 0
  let end = i + 2
  while (end < texts.length && isRow(texts[end]!)) end++
  return end - i
}

function isRow(text: string): boolean {
  if (!text.startsWith('|')) return false
  const row = trimEnd(text)
  const at = bars(row)
  return at.length > 1 && at[at.length - 1] === row.length - 1
}

function cellsOf(rule: string): string[] {
  return trimEnd(rule).slice(1, -1).split('|').map(trim)
}

function isRule(text: string): boolean {
  return isRow(text) && cellsOf(text).every((cell) => /^:?-+:?$/.test(cell))
}

/** The positions of the bars of a row. A bar after a backslash is text. */
function bars(text: string): number[] {
  const at: number[] = []
  for (let i = 0; i < text.length; i++) {
    if (text[i] === '\\') i++
    else if (text[i] === '|') at.push(i)
  }
  return at
}

export function appendTable(lines: Line[], texts: string[]): void {
  texts.forEach((text, i) => {
    if (i === 1) lines.push({ kind: 'rule', quote: 0, spans: [markOf(text)] })
    else lines.push({ kind: i === 0 ? 'head' : 'row', quote: 0, spans: rowOf(text) })
  })
}

/** Reads a line of a table. The bars, with the blanks around them, are marks: each cell has one in front. */
function rowOf(text: string): Span[] {
  const spans: Span[] = []
  const at = bars(text)
  let mark = 0
  for (let n = 0; n + 1 < at.length; n++) {
    const cell = text.slice(at[n]! + 1, at[n + 1])
    const inner = trim(cell)
    if (inner === '') {
      spans.push(markOf(text.slice(mark, at[n + 1])))
      mark = at[n + 1]!
      continue
    }
    const begin = at[n]! + 1 + cell.indexOf(inner)
    spans.push(markOf(text.slice(mark, begin)))
    appendInline(spans, inner)
    mark = begin + inner.length
  }
  spans.push(markOf(text.slice(mark)))
  return spans
}

/** The spans of each cell of a head or a row, without the bars. */
export function cells(line: Line): Span[][] {
  const all: Span[][] = []
  line.spans.forEach((s, i) => {
    if (!s.mark || !s.text.includes('|')) all[all.length - 1]!.push(s)
    else if (i < line.spans.length - 1) all.push([])
  })
  return all
}

/** The alignment of each column, as the rule gives it. */
export function aligns(rule: Line): ('left' | 'center' | 'right')[] {
  return cellsOf(rule.spans[0]!.text).map((cell) => (!cell.endsWith(':') ? 'left' : cell.startsWith(':') ? 'center' : 'right'))
}
