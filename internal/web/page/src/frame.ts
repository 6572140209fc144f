// When things happen: changes are rendered once a frame, however many messages a
// frame brings, and what moves the focus is rendered at once.

import { options } from 'preact'

/** How long a frame may take to come: a page that is not visible has none. Milliseconds. */
const patience = 100

/** Has something done in the next frame, or soon if there is none. */
export function nextFrame(then: () => void): void {
  let done = false
  const once = () => {
    if (done) return
    done = true
    then()
  }
  requestAnimationFrame(once)
  setTimeout(once, patience)
}

let waiting: (() => void) | undefined

/** Puts what has changed into the document now. Rendering may ask for more of it, as a list does that has measured its rows. */
export function renderNow(most = 3): void {
  for (let i = 0; waiting && i < most; i++) {
    const render = waiting
    waiting = undefined
    render()
  }
}

options.debounceRendering = (render) => {
  const first = waiting === undefined
  waiting = render
  if (first) nextFrame(() => renderNow())
}
