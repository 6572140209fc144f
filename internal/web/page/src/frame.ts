// Timing: changes are rendered once a frame, however many messages a frame brings,
// except that changes that move the focus are rendered at once.

import { options } from 'preact'

/** How long to wait for a frame: a hidden page gets none. Milliseconds. */
const patience = 100

/** Calls a function in the next frame, or soon if there is none. */
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

/** Renders what has changed now. Rendering may ask for more, as a list does that has measured its rows. */
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
