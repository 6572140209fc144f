// The tabs of a browser share their pending messages, so that the connected one sends
// them.

import { batch } from '@preact/signals'
import { keepDrafts } from './drafts'
import { transmit } from './outbox'
import { enterRoom } from './rooms'
import * as state from './state'
import { add, find } from './state'
import { onPending, type Pending } from './storage'

/** Listens to the other tabs. */
export function shareTabs(): void {
  onPending(heard)
  addEventListener('pagehide', keepDrafts)
}

/** Another tab has a message to send, or is done with it. */
function heard(id: string, to: Pending | 'sent' | 'unwanted'): void {
  const known = state.pending.value.find((p) => p.id === id)
  // That tab may have somebody else in.
  if (typeof to === 'object' && !known && to.username !== state.username.value) return
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
