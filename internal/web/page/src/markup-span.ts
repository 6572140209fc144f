// What reading markup results in: lines of spans.

/** The styles of a stretch of text, as bits. */
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
  /** Punctuation after a mention that may belong to the name. */
  tail: string
}

/** The construct that a line is part of. A block's first and last lines are its fences. */
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
