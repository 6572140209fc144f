// Reads the markup of messages: what of a content is emphasis, code, a quote, a
// table, an address or a mention. docs/markup.md specifies it; internal/markup
// is the same reader in Go, and both pass the table in markuptest.
//
// Nothing is lost: the texts of the spans of a line are the line as it was
// written, and only delimiters of markup that was recognised are marks. Time and
// memory grow linearly with the content. This file knows no document.

/** How a stretch of text is meant, as bits. */
export const Bold = 1
export const Italic = 2
export const Struck = 4
export const Code = 8
export const Address = 16
export const Mention = 32
export const Language = 64
const emphasis = Bold | Italic | Struck

export interface Span {
  text: string
  style: number
  /** The text is a delimiter of markup. */
  mark: boolean
  /** What follows a mention and may belong to the name. */
  tail: string
}

/** What a line is part of. The first and the last line of a block have its fences. */
export type Kind = 'text' | 'block' | 'head' | 'rule' | 'row'

export interface Line {
  kind: Kind
  /** How many quotes it is in. */
  quote: number
  spans: Span[]
}

/** How deep quotes nest; further ">" are text. */
const maxQuote = 3
/** The longest name of a language. */
const maxLanguage = 24
/** The longest name of somebody, in code points. */
const maxName = 32

function span(text: string, style = 0, mark = false): Span {
  return { text, style, mark, tail: '' }
}

const markOf = (text: string) => span(text, 0, true)

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

// Tables

/** How many lines the table has that begins at a line: a head, a rule and rows. 0 if there is none. */
function tableAt(texts: string[], i: number): number {
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

/** Where the bars of a row are. One behind a backslash is text. */
function bars(text: string): number[] {
  const at: number[] = []
  for (let i = 0; i < text.length; i++) {
    if (text[i] === '\\') i++
    else if (text[i] === '|') at.push(i)
  }
  return at
}

function appendTable(lines: Line[], texts: string[]): void {
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

/** To which side a rule puts the text of each column. */
export function aligns(rule: Line): ('left' | 'center' | 'right')[] {
  return cellsOf(rule.spans[0]!.text).map((cell) => (!cell.endsWith(':') ? 'left' : cell.startsWith(':') ? 'center' : 'right'))
}

// Within a line

/** What a run of n delimiters means; 0 is nothing. */
function meaning(delimiter: string, n: number): number {
  if (delimiter === '~') return n === 2 ? Struck : 0
  if (delimiter === '_') return n === 1 ? Italic : 0
  return [0, Italic, Bold, Bold | Italic][n] ?? 0
}

/** A span before it is known which delimiters belong together. */
interface Token extends Span {
  delimiter: boolean
  opens: boolean
  closes: boolean
  /** What a delimiter that has its partner begins or ends. */
  begin: number
  end: number
}

function appendInline(spans: Span[], text: string): void {
  if (text === '') return
  if (!/[*_~`@:]/.test(text)) {
    spans.push(span(text))
    return
  }
  const tokens = new Scanner(text).scan()
  match(tokens)
  appendTokens(spans, text, tokens)
}

/** Cuts a text into tokens. */
class Scanner {
  private readonly tokens: Token[] = []
  /** Where the text begins that is in no token yet. */
  private from = 0
  /** Of a run of backticks: where the next of its length begins. */
  private readonly partner: Map<number, number>

  constructor(private readonly text: string) {
    this.partner = backticks(text)
  }

  scan(): Token[] {
    const { text } = this
    const special = /[*_~`@hHmM]/g
    for (let i = 0; ; ) {
      special.lastIndex = i
      const found = special.exec(text)
      if (!found) break
      i = found.index
      switch (found[0]) {
        case '`':
          i = this.code(i)
          break
        case '*':
        case '_':
        case '~':
          i = this.delimiters(i)
          break
        case '@':
          i = this.mention(i)
          break
        default:
          i = this.address(i)
      }
    }
    this.before(text.length)
    return this.tokens
  }

  /** Makes a token of what has been read up to i. */
  private before(i: number): void {
    if (i > this.from) this.push(span(this.text.slice(this.from, i)))
    this.from = i
  }

  private push(s: Span, more: Partial<Token> = {}): void {
    this.tokens.push({ ...s, delimiter: false, opens: false, closes: false, begin: 0, end: 0, ...more })
  }

  private take(i: number, j: number, style: number, mark: boolean, more?: Partial<Token>): void {
    this.before(i)
    this.push(span(this.text.slice(i, j), style, mark), more)
    this.from = j
  }

  /** Reads a run of backticks and, if it has a partner, the code between. */
  private code(i: number): number {
    const { text } = this
    let j = i
    while (text[j] === '`') j++
    const k = this.partner.get(i)
    if (k === undefined) return j
    const code = text.slice(j, k)
    if (isMark(first(code)) || isBlank(code)) return j
    const end = k + j - i
    this.take(i, j, Code, true)
    this.take(j, k, Code, false)
    this.take(k, end, Code, true)
    return end
  }

  /** Reads a cluster of delimiters. What stands around it says whether they open or close. */
  private delimiters(i: number): number {
    const { text } = this
    let end = i
    while (end < text.length && isDelimiter(text[end]!)) end++
    const opens = beforeOpening(last(text, i)) && beginsEmphasis(first(text, end))
    const closes = endsEmphasis(text, i) && afterClosing(text, end)
    if (!opens && !closes) return end
    while (i < end) {
      let j = i + 1
      while (j < end && text[j] === text[i]) j++
      if (meaning(text[i]!, j - i) !== 0) this.take(i, j, 0, false, { delimiter: true, opens, closes })
      i = j
    }
    return end
  }

  /** Reads an address, if one begins at i. */
  private address(i: number): number {
    const { text } = this
    schemes.lastIndex = i
    const scheme = schemes.exec(text)?.[0]
    if (scheme === undefined || /[A-Za-z0-9]/.test(last(text, i))) return i + 1
    const begin = i + scheme.length
    let end = begin
    const c = first(text, begin)
    if (c === '[' || isWord(c)) end = addressEnd(text, begin)
    if (end > begin) this.take(i, end, Address, false)
    return end
  }

  /** Reads a mention, if one begins at i. */
  private mention(i: number): number {
    const { text } = this
    let b = i
    while (b > 0 && isDelimiter(text[b - 1]!)) b--
    const before = last(text, b)
    if (before !== '' && ((before !== '.' && isNameCharacter(before)) || '@/\\+%'.includes(before))) return i + 1
    nameRun.lastIndex = i + 1
    const run = nameRun.exec(text)![0]
    const end = i + 1 + run.length
    let length = run.length
    while (length > 0 && '._-'.includes(run[length - 1]!)) length--
    const name = run.slice(0, length)
    if (name === '' || text[end] === '@' || isMark(first(name)) || [...name].length > maxName) return end
    this.take(i, i + 1 + length, Mention, false, { tail: run.slice(length) })
    return i + 1 + length
  }
}

const schemes = /(?:https?:\/\/|mailto:)/iy
const nameRun = /[\p{L}\p{M}\p{Nd}_.-]*/uy
const isNameCharacter = (c: string) => /^[\p{L}\p{M}\p{Nd}_.-]/u.test(c)

function backticks(text: string): Map<number, number> {
  const partner = new Map<number, number>()
  if (!text.includes('`')) return partner
  const lastOf = new Map<number, number>() // by length
  for (const run of [...text.matchAll(/`+/g)].reverse()) {
    const next = lastOf.get(run[0].length)
    if (next !== undefined) partner.set(run.index, next)
    lastOf.set(run[0].length, run.index)
  }
  return partner
}

/** Where an address ends whose scheme ends at `begin`. */
function addressEnd(text: string, begin: number): number {
  const open = [0, 0, 0]
  let end = begin
  for (; end < text.length; ) {
    const c = first(text, end)
    const opening = '([{'.indexOf(c)
    const closing = ')]}'.indexOf(c)
    if (opening >= 0) open[opening]!++
    else if (closing >= 0) {
      if (--open[closing]! < 0) break
    } else if (endsAddress(c)) break
    end += c.length
  }
  while (end > begin && ".,:;!?'*_~…([{".includes(text[end - 1]!)) end--
  return end
}

/** No address has these: white space, what is invisible, what encloses addresses, full-width punctuation. */
function endsAddress(c: string): boolean {
  if (c < '\x80') return c <= ' ' || c === '\x7f' || '<>"`|\\^'.includes(c)
  if (c >= '\u3000' && c <= '\u303f') return true
  if (c >= '\uff01' && c <= '\uff5e') return !isWord(c)
  return '“”„‘’«»‹›'.includes(c) || isInvisible(c)
}

// What stands around delimiters. A character is a string of one code point; ''
// is none, beyond either end.

function first(text: string, at = 0): string {
  const c = text.codePointAt(at)
  return c === undefined ? '' : String.fromCodePoint(c)
}

function last(text: string, end: number): string {
  if (end === 0) return ''
  const pair = end > 1 ? text.codePointAt(end - 2)! : 0
  return pair > 0xffff ? String.fromCodePoint(pair) : text[end - 1]!
}

const isDelimiter = (c: string) => c === '*' || c === '_' || c === '~'

function beforeOpening(c: string): boolean {
  if (c < '\x80') return c === '' || ' \t([{"\''.includes(c)
  return !isWord(c)
}

function beginsEmphasis(c: string): boolean {
  if (c < '\x80') return c !== '' && (isWord(c) || '([{@#$&`'.includes(c))
  return !isInvisible(c) && !isMark(c)
}

function endsEmphasis(text: string, end: number): boolean {
  const c = last(text, end)
  if (c === '.') {
    let i = end - 1
    while (i > 0 && isDelimiter(text[i - 1]!)) i--
    const before = last(text, i)
    return before !== '' && !isInvisible(before)
  }
  if (c < '\x80') return c > ' ' && c !== '\x7f' && !'([{</\\=|^-'.includes(c)
  return !isInvisible(c)
}

function afterClosing(text: string, begin: number): boolean {
  const c = first(text, begin)
  if (c === '.') return !isWord(first(text, begin + 1))
  if (c < '\x80') return c === '' || ' \t)]}"\',;:!?'.includes(c)
  return !isWord(c)
}

const isWord = (c: string) => (c < '\x80' ? /^[A-Za-z0-9]/.test(c) : /^[\p{L}\p{N}\p{M}]/u.test(c))
const isMark = (c: string) => c >= '\x80' && /^\p{M}/u.test(c)
const isInvisible = (c: string) => /^[\p{White_Space}\p{Cc}\p{Cf}]/u.test(c)
const isBlank = (text: string) => /^[\p{White_Space}\p{Cc}\p{Cf}]*$/u.test(text)

// Blanks are what may stand around the parts of markup. Regular expressions that
// trim at the end take time that is quadratic.

function trimEnd(text: string): string {
  let end = text.length
  while (end > 0 && (text[end - 1] === ' ' || text[end - 1] === '\t')) end--
  return text.slice(0, end)
}

function trim(text: string): string {
  let begin = 0
  while (text[begin] === ' ' || text[begin] === '\t') begin++
  return trimEnd(text.slice(begin))
}

function trimTicks(text: string): string {
  let end = text.length
  while (end > 0 && text[end - 1] === '`') end--
  return text.slice(0, end)
}

/** Finds the partners among the delimiters: the nearest equal one that is open. What opened in between is text. */
function match(tokens: Token[]): void {
  const open: Token[] = []
  const count = new Map<string, number>()
  const add = (text: string, n: number) => count.set(text, (count.get(text) ?? 0) + n)
  for (const token of tokens) {
    if (!token.delimiter) continue
    if (token.closes && (count.get(token.text) ?? 0) > 0) {
      for (;;) {
        const partner = open.pop()!
        add(partner.text, -1)
        if (partner.text !== token.text) continue
        token.end = partner.begin = meaning(token.text[0]!, token.text.length)
        break
      }
    } else if (token.opens) {
      open.push(token)
      add(token.text, 1)
    }
  }
}

/** Makes spans of the tokens of a text. Neighbours of one style become one. */
function appendTokens(spans: Span[], text: string, tokens: Token[]): void {
  const depth = [0, 0, 0] // of Bold, Italic and Struck
  const change = (style: number, by: number) => {
    for (let n = 0; n < 3; n++) if (style & (1 << n)) depth[n]! += by
  }
  const begun = spans.length
  let from = 0 // of the last span, in text
  let end = 0
  for (const token of tokens) {
    change(token.end, -1)
    let { style } = token
    for (let n = 0; n < 3; n++) if (depth[n]! > 0) style |= 1 << n
    change(token.begin, 1)
    const mark = token.mark || (token.begin | token.end) !== 0
    end += token.text.length
    const previous = spans[spans.length - 1]
    if (spans.length > begun && !mark && (style & ~emphasis) === 0 && !previous!.mark && previous!.style === style) {
      previous!.text = text.slice(from, end)
      continue
    }
    from = end - token.text.length
    spans.push({ text: token.text, style, mark, tail: token.tail })
  }
}

// Mentions

/** The names that mention all who are in the room. Nobody can have one of them. */
const everybody = new Set(['all', 'channel', 'everyone', 'here'])

/** Whether a content mentions a name, or everybody. */
export function mentions(content: string, name: string): boolean {
  return content.includes('@') && parse(content).some((line) => line.spans.some((s) => mentionsName(s, name)))
}

/** Whether a span mentions a name, or everybody. */
export function mentionsName(s: Span, name: string): boolean {
  if (!(s.style & Mention)) return false
  const mentioned = fold(s.text.slice(1))
  if (everybody.has(mentioned)) return true
  const wanted = fold(name)
  for (let n = 0; n <= s.tail.length; n++) if (mentioned + s.tail.slice(0, n) === wanted) return true
  return false
}

/** The form in which names that differ in case or width are equal. */
function fold(name: string): string {
  // Letter by letter, as Go does: a sigma knows no end of a word, and İ has no dot above.
  return [...name.normalize('NFKC')].map((c) => (c === 'ς' ? 'σ' : c === 'İ' ? 'i' : c.toLowerCase())).join('')
}
