// Live events wait here for the next frame and are then taken together, in their
// order: ten or a thousand messages cost one change of what is shown.

import { batch } from '@preact/signals'
import { nextFrame, renderNow } from './frame'
import type { Event } from './protocol'

/** More than this is not kept waiting: a task that takes them stays far below 50 ms. */
const most = 1000

/** After showing what has come the page is left to the user for so many times as long, but not longer than this. */
const rest = 2
const longestRest = 150 // milliseconds

let waiting: Event[] = []
/** Nothing is shown before this time. */
let rested = 0
let due = false
let take: (event: Event) => void = () => undefined
let taken: () => void = () => undefined

/** Says what takes an event, and what is to be done after some have been taken. */
export function receiver(each: (event: Event) => void, after: () => void): void {
  take = each
  taken = after
}

export function receive(event: Event): void {
  waiting.push(event)
  if (waiting.length >= most) deliver()
  else if (!due) {
    due = true
    const wait = rested - performance.now()
    if (wait > 0) setTimeout(() => nextFrame(showAll), wait)
    else nextFrame(showAll)
  }
}

function showAll(): void {
  due = false
  const begun = performance.now()
  deliver()
  renderNow(1) // in this frame; what that asks for has the next one
  const ended = performance.now()
  rested = ended + Math.min(longestRest, rest * (ended - begun))
}

/** Takes what has come. To be called before anything that came later is looked at. */
export function deliver(): void {
  if (waiting.length === 0) return
  const events = waiting
  waiting = []
  batch(() => {
    for (const event of events) take(event)
    taken()
  })
}
