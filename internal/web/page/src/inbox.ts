// Live events wait here for the next frame and are then handled together, in order: a
// thousand messages cost one render, like ten.

import { batch } from '@preact/signals'
import { nextFrame, renderNow } from './frame'
import type { Event } from './protocol'

/** More events than this do not wait: handling them takes far less than 50 ms. */
const most = 1000

/** After rendering, the page is idle for this many times as long, up to a limit. */
const rest = 2
const longestRest = 150 // milliseconds

let waiting: Event[] = []
/** Nothing is rendered before this time. */
let rested = 0
let due = false
let take: (event: Event) => void = () => undefined
let taken: () => void = () => undefined

/** Sets the functions that take an event, and that run after a batch of them. */
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
  renderNow(1) // in this frame; a further render that it asks for has the next one
  const ended = performance.now()
  rested = ended + Math.min(longestRest, rest * (ended - begun))
}

/** Handles the waiting events. Call it before handling anything that came later. */
export function deliver(): void {
  if (waiting.length === 0) return
  const events = waiting
  waiting = []
  batch(() => {
    for (const event of events) take(event)
    taken()
  })
}
