// Moves the focus among the items of a list by arrow keys.

/** Moves the focus among elements; false if the key is another one. */
export function walk(event: KeyboardEvent, selector: string): boolean {
  const by = event.key === 'ArrowDown' ? 1 : event.key === 'ArrowUp' ? -1 : 0
  if (by === 0) return false
  const all = [...document.querySelectorAll<HTMLElement>(selector)]
  all[all.indexOf(document.activeElement as HTMLElement) + by]?.focus()
  return true
}
