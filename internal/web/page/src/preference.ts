// Choices of the user, shared by all tabs of the browser.

import { signal, type Signal } from '@preact/signals'
import { load, onKept, save, type Kept } from './storage'

/** A choice that is saved for the next visit, and applies in other tabs at once. */
export function preference<K extends keyof Kept>(key: K, otherwise: Kept[K]): Signal<Kept[K]> {
  const choice = signal(load(key) ?? otherwise)
  let known = choice.peek()
  choice.subscribe((value) => {
    if (value === known) return
    known = value
    save(key, value === otherwise ? undefined : value)
  })
  onKept(key, (value) => {
    known = value ?? otherwise
    choice.value = known
  })
  return choice
}
