// Reads the markup within a line: emphasis, code, addresses and mentions.

import { first, isBlank, isInvisible, isMark, isWord, last } from './markup-characters'
import { Address, Bold, Code, emphasis, Italic, Mention, span, Struck, type Span } from './markup-span'

/** The longest username, in code points. */
const maxName = 32

/** What a run of n delimiters means; 0 is nothing. */
function meaning(delimiter: string, n: number): number {
  if (delimiter === '~') return n === 2 ? Struck : 0
  if (delimiter === '_') return n === 1 ? Italic : 0
  return [0, Italic, Bold, Bold | Italic][n] ?? 0
}

/** A span before delimiters are matched. */
interface Token extends Span {
  delimiter: boolean
  opens: boolean
  closes: boolean
  /** The styles that a matched delimiter begins or ends. */
  begin: number
  end: number
}

export function appendInline(spans: Span[], text: string): void {
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
  /** Where the text that is not in a token yet begins. */
  private from = 0
  /** For each run of backticks, where the next one of its length begins. */
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

  /** Makes a token of the text up to i. */
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

/** The end of an address, from the end of its scheme. */
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

/** Characters that end an address: white space, invisible ones, quotes and brackets that enclose addresses, full-width punctuation. */
function endsAddress(c: string): boolean {
  if (c < '\x80') return c <= ' ' || c === '\x7f' || '<>"`|\\^'.includes(c)
  if (c >= '\u3000' && c <= '\u303f') return true
  if (c >= '\uff01' && c <= '\uff5e') return !isWord(c)
  return '“”„‘’«»‹›'.includes(c) || isInvisible(c)
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

/** Matches delimiters: each closes the nearest equal one that is open. Those opened in between are text. */
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

/** Makes spans of the tokens of a text. Neighbours of the same style are merged. */
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
