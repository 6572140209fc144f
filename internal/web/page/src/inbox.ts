// Live events wait here for the next frame and are then taken together, in their
// order: ten or a thousand messages cost one change of what is shown.

import { batch } from '@preact/signals'
import { nextFrame, renderNow } from './frame'
import type { Event } from './protocol'

/** More than this is not kept waiting: a task that takes them stays far below 50 ms. */
const most = 1000

let waiting: Event[] = []
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
    nextFrame(() => {
      due = false
      deliver()
      renderNow() // in this frame
    })
  }
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
