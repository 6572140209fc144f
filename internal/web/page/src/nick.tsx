// A name and its colour, which is the same on every visit and every machine.

/** How many colours style.css has. */
const colours = 12

/** The class that gives a name its colour. */
export function nickClass(username: string): string {
  let hash = 2166136261 // FNV-1a
  for (const char of username.toLowerCase()) hash = Math.imul(hash ^ char.codePointAt(0)!, 16777619)
  hash ^= hash >>> 15 // the low bits alone are too alike
  return `n${(hash >>> 0) % colours}`
}

/** One or two letters that stand for a name. */
function initials(username: string): string {
  const parts = username.split(/[_.-]+/).filter(Boolean)
  const letters = parts.length > 1 ? [parts[0]!, parts[1]!].map((p) => [...p][0]!) : [...(parts[0] ?? username)].slice(0, 1)
  return letters.join('').toUpperCase()
}

export function Avatar({ username, small }: { username: string; small?: boolean }) {
  return (
    <span class={`avatar ${nickClass(username)}${small ? ' small' : ''}`} aria-hidden="true">
      {initials(username)}
    </span>
  )
}
