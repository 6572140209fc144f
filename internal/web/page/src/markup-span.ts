// What reading markup results in: lines of spans.

/** How a stretch of text is meant, as bits. */
export const Bold = 1
export const Italic = 2
export const Struck = 4
export const Code = 8
export const Address = 16
export const Mention = 32
export const Language = 64
export const emphasis = Bold | Italic | Struck

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

export function span(text: string, style = 0, mark = false): Span {
  return { text, style, mark, tail: '' }
}

export const markOf = (text: string) => span(text, 0, true)
