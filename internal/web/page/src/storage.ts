// What the browser keeps for the next visit, in localStorage. A browser may
// refuse (private windows, quotas); the page then works and forgets.

import type { RoomCursor, Pending } from './state'

interface Kept {
  /** The name to go by, as the server spelled it. */
  username: string
  /** Takes the name over from the connection before. */
  session: string
  /** Rooms in the order of the list. */
  rooms: string[]
  /** What has been read, by room. */
  read: Record<string, RoomCursor>
  drafts: Record<string, string>
  /** What has been sent and not acknowledged. */
  pending: Pending[]
  notify: 'never' | 'mentions' | 'all'
  language: string
}

const prefix = 'kaban.'

export function load<K extends keyof Kept>(key: K): Kept[K] | undefined {
  try {
    const text = localStorage.getItem(prefix + key)
    return text === null ? undefined : (JSON.parse(text) as Kept[K])
  } catch {
    return undefined
  }
}

export function save<K extends keyof Kept>(key: K, value: Kept[K] | undefined): void {
  try {
    if (value === undefined) localStorage.removeItem(prefix + key)
    else localStorage.setItem(prefix + key, JSON.stringify(value))
  } catch {
    // Full or forbidden: nothing that the user could do about it now.
  }
}
