// Where something that opens stands: beside what opened it, on the screen.

/** The distance from what opened it, and from the edge of the screen. Pixels. */
const distance = 6
/** It is not made lower than this. Pixels. */
const least = 300

/** On a narrow screen it lies at the lower edge, by its style. */
const isSheet = () => matchMedia('(max-width: 720px)').matches

/** Puts an element beside a place, above it if there is no room below. Returns what undoes it. */
export function near(el: HTMLElement, at: DOMRect | undefined): () => void {
  const set = () => {
    const { style } = el
    if (!at || isSheet()) {
      style.left = style.top = style.maxHeight = ''
      return
    }
    style.maxHeight = ''
    const { width, height } = el.getBoundingClientRect()
    const below = innerHeight - at.bottom - 2 * distance
    const above = at.top - 2 * distance
    // It gets shorter rather than cover what it is about.
    const fits = Math.min(height, Math.max(below, above, least))
    style.maxHeight = `${fits}px`
    const top = fits <= below || below >= above ? at.bottom + distance : at.top - distance - fits
    style.top = `${Math.max(distance, Math.min(top, innerHeight - fits - distance))}px`
    style.left = `${Math.max(distance, Math.min(at.right - width, innerWidth - width - distance))}px`
  }
  set()
  addEventListener('resize', set)
  return () => {
    removeEventListener('resize', set)
    el.style.left = el.style.top = el.style.maxHeight = ''
  }
}
