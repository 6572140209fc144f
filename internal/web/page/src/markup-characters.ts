// Characters as markup looks at them. A character is a string of one code point; ''
// stands for none, beyond either end of a text.

export function first(text: string, at = 0): string {
  const c = text.codePointAt(at)
  return c === undefined ? '' : String.fromCodePoint(c)
}

export function last(text: string, end: number): string {
  if (end === 0) return ''
  const pair = end > 1 ? text.codePointAt(end - 2)! : 0
  return pair > 0xffff ? String.fromCodePoint(pair) : text[end - 1]!
}

export const isWord = (c: string) => (c < '\x80' ? /^[A-Za-z0-9]/.test(c) : /^[\p{L}\p{N}\p{M}]/u.test(c))
export const isMark = (c: string) => c >= '\x80' && /^\p{M}/u.test(c)
export const isInvisible = (c: string) => /^[\p{White_Space}\p{Cc}\p{Cf}]/u.test(c)
export const isBlank = (text: string) => /^[\p{White_Space}\p{Cc}\p{Cf}]*$/u.test(text)

// Blanks may stand around the parts of markup. Regular expressions that trim at the
// end take quadratic time.

export function trimEnd(text: string): string {
  let end = text.length
  while (end > 0 && (text[end - 1] === ' ' || text[end - 1] === '\t')) end--
  return text.slice(0, end)
}

export function trim(text: string): string {
  let begin = 0
  while (text[begin] === ' ' || text[begin] === '\t') begin++
  return trimEnd(text.slice(begin))
}

export function trimTicks(text: string): string {
  let end = text.length
  while (end > 0 && text[end - 1] === '`') end--
  return text.slice(0, end)
}
