// The tabs of a browser share their pending messages, so that the connected one sends
// them.

import { batch } from '@preact/signals'
import { keepDrafts } from './drafts'
import { transmit } from './outbox'
import { enterRoom } from './rooms'
import * as state from './state'
import { add, find } from './state'
import { allPending, onPending, type Pending } from './storage'

/** Starts with the messages that were not sent at the last visit. */
export function restore(): void {
  state.pending.value = allPending()
  for (const p of state.pending.value) add(p.room)
  onPending(heard)
  addEventListener('pagehide', keepDrafts)
}

/** Another tab has a message to send, or is done with it. */
function heard(id: string, to: Pending | 'sent' | 'unwanted'): void {
  const known = state.pending.value.find((p) => p.id === id)
  const room = find(typeof to === 'object' ? to.room : (known?.room ?? ''))
  batch(() => {
    if (typeof to === 'object') {
      state.pending.value = known ? state.pending.value.map((p) => (p.id === id ? to : p)) : [...state.pending.value, to]
    } else if (to === 'unwanted') {
      state.pending.value = state.pending.value.filter((p) => p.id !== id)
    } else {
      state.pending.value = state.pending.value.map((p) => (p.id === id ? { ...p, elsewhere: true } : p))
    }
    room?.changed()
  })
  if (typeof to !== 'object' || to.error || known) return
  if (room) transmit(to)
  else if (state.status.value === 'open') enterRoom(add(to.room))
  else add(to.room)
}
