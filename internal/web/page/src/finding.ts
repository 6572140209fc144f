// Searches on the server: for what the user has typed, and for pinned messages.

import { batch, signal } from '@preact/signals'
import { RequestError } from './connection'
import type { Found } from './protocol'
import { ask } from './session'
import type { Finding, Room } from './state'
import { zone } from './texts'

/** How many hits are asked for. */
const pageSize = 30
/** How many pinned messages are asked for; the server gives no more at a time. */
const mostPins = 100

/** The last search of the user. */
export const finding = signal<Finding | undefined>(undefined)

const begun = (query: string, room: string | undefined): Finding => ({ query, room, hits: [], busy: true, more: false, next: undefined, partial: false, problem: undefined })

/** Searches; what was found before goes. */
export function find(query: string, room: string | undefined): void {
  const now = begun(query, room)
  finding.value = now
  void page(now)
}

/** Asks for the next page, or for one again that has failed. */
export function findMore(): void {
  const now = finding.peek()
  if (!now || now.busy) return
  const next = { ...now, busy: true, problem: undefined }
  finding.value = next
  void page(next)
}

async function page(now: Finding): Promise<void> {
  const then = await extended(now, pageSize)
  // Another search may have begun meanwhile.
  if (finding.peek() === now) finding.value = then
}

async function extended(now: Finding, limit: number): Promise<Finding> {
  const { query, room, next, hits } = now
  try {
    const found = await ask<Found>({ type: 'search', query, limit, zone: zone(), ...(room === undefined ? {} : { room }), ...(next === undefined ? {} : { before: next }) })
    return { ...now, hits: [...hits, ...found.hits], busy: false, more: found.more, next: found.next, partial: found.partial }
  } catch (error) {
    const refusal = error instanceof RequestError ? error.refusal : undefined
    return { ...now, busy: false, problem: refusal ?? { code: 'offline', message: '' } }
  }
}

/** Loads which messages of a room are pinned, or more of them. */
export async function loadPins(room: Room): Promise<void> {
  const before = room.pins.peek()
  if (before?.busy) return
  const now = before ? { ...before, busy: true, problem: undefined } : begun('is:pinned', room.name)
  room.pins.value = now
  const then = await extended(now, mostPins)
  if (room.pins.peek() !== now) return
  batch(() => {
    room.pins.value = then
    room.changed()
  })
}
