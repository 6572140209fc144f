// Avatars and colours of names, the same on every visit and every machine.

/** How many hues the style sheet has, as sums of a coarse and a fine part, and how many shades of each: names seldom share both. */
const coarse = 6
const fine = 6
const shades = 4

function hash(username: string): number {
  let sum = 2166136261 // FNV-1a
  for (const char of username.toLowerCase()) sum = Math.imul(sum ^ char.codePointAt(0)!, 16777619)
  // Mixes all bits into the low ones, as MurmurHash3 does: names that differ little are far apart.
  sum = Math.imul(sum ^ (sum >>> 16), 0x85ebca6b)
  sum = Math.imul(sum ^ (sum >>> 13), 0xc2b2ae35)
  return (sum ^ (sum >>> 16)) >>> 0
}

/** The classes that give a name its colour. */
export function nickClass(username: string): string {
  const sum = hash(username)
  const hue = sum % (coarse * fine)
  return `c${Math.floor(hue / fine)} f${hue % fine} v${Math.floor(sum / (coarse * fine)) % shades}`
}

/** The initials of a name, or of the names of several people: of its first two words, or its first two letters. */
function initials(username: string): string {
  const parts = username.split(/[_., -]+/).filter(Boolean)
  const [first, second] = parts.length > 1 ? [letters(parts[0]!)[0], letters(parts[1]!)[0]] : letters(parts[0] ?? username)
  return (first ?? '').toUpperCase() + (parts.length > 1 ? (second ?? '').toUpperCase() : (second ?? ''))
}

/** The characters of a text as a reader sees them, with their marks. */
function letters(text: string): string[] {
  if (segmenter) return Array.from(segmenter.segment(text.slice(0, 20)), (s) => s.segment)
  return [...text]
}

const segmenter = typeof Intl.Segmenter === 'function' ? new Intl.Segmenter() : undefined

/** The display name of an account stands beside its username, which nobody else has. */
export const Called = ({ name }: { name: string | undefined }) => (name ? <bdi class="quiet called uncopied">{name}</bdi> : null)

/** A dot says who is here; whoever shows it says so in a text too. */
export function Avatar({ username, small, here }: { username: string; small?: boolean; here?: boolean | undefined }) {
  // The style sheet draws the letters: as text they would be read out and copied.
  return <span class={`avatar ${nickClass(username)}${small ? ' small' : ''}${here ? ' online' : ''}`} data-letters={initials(username)} aria-hidden="true" />
}
