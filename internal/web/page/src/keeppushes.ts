// Keeps the subscription of this browser to pushes.

import { effect } from '@preact/signals'
import { account } from './state'
import { load } from './storage'

/** Has the server know the subscription of this browser, once for each account: one of them may have lost it. */
export function keepPushes(): void {
  let kept: string | undefined
  effect(() => {
    const name = account.value?.username
    if (name === undefined || name === kept) return
    kept = name
    if (load('push') === name) void import('./adminpanels').then(({ renew }) => renew()).catch(() => undefined)
  })
}
