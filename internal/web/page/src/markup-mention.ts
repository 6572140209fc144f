// Decides whom a mention means.

import { Mention, type Span } from './markup-span'

/** Names that mention everyone in the room. Nobody can take them. */
const everybody = new Set(['all', 'channel', 'everyone', 'here'])

/** Whether a span mentions a name, or everybody. */
export function mentionsName(s: Span, name: string): boolean {
  return (s.style & Mention) !== 0 && (everybody.has(fold(s.text.slice(1))) || mentionsOnly(s, name))
}

/** Whether a span mentions a name itself. */
export function mentionsOnly(s: Span, name: string): boolean {
  if (!(s.style & Mention)) return false
  const mentioned = fold(s.text.slice(1))
  const wanted = fold(name)
  for (let n = 0; n <= s.tail.length; n++) if (mentioned + s.tail.slice(0, n) === wanted) return true
  return false
}

/** The form in which names that differ in case or width are equal. */
function fold(name: string): string {
  // Letter by letter, as in Go: no final sigma, and İ has no dot above.
  return [...name.normalize('NFKC')].map((c) => (c === 'ς' ? 'σ' : c === 'İ' ? 'i' : c.toLowerCase())).join('')
}
