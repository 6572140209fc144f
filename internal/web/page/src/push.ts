// The subscription of this browser to pushes, and what the server knows of it.

import { call } from './api'
import { account } from './state'
import { save } from './storage'

/** What GET /v1/push answers. */
export interface PushSettings {
  application_server_key: string
  content: 'text' | 'hint'
}

interface Known {
  id: string
  current: boolean
}

/** Why this browser cannot be notified while the page is closed. */
export type Obstacle = 'insecure' | 'unsupported' | 'denied' | 'unreachable'

/** The browser, or its push service, does not want to. */
export class Refused extends Error {
  constructor(readonly obstacle: Obstacle) {
    super(obstacle)
  }
}

/** What is in the way before anybody has clicked. */
export function obstacle(): Obstacle | undefined {
  if (!isSecureContext) return 'insecure'
  if (!navigator.serviceWorker || !('PushManager' in window) || !('Notification' in window)) return 'unsupported'
  return Notification.permission === 'denied' ? 'denied' : undefined
}

export const settings = () => call<PushSettings>('GET', 'v1/push')
export const setContent = (content: PushSettings['content']) => call<PushSettings>('PUT', 'v1/push', { content })

async function current(): Promise<Known | undefined> {
  const { subscriptions } = await call<{ subscriptions: Known[] }>('GET', 'v1/push/subscriptions')
  return subscriptions.find((s) => s.current)
}

/** Whether this browser is notified, as the server and the browser have it. */
export async function isSubscribed(): Promise<boolean> {
  if (obstacle()) return false
  const registration = await navigator.serviceWorker.getRegistration()
  return Boolean(await registration?.pushManager.getSubscription()) && (await current()) !== undefined
}

const keyOf = (subscription: PushSubscription) =>
  btoa(String.fromCharCode(...new Uint8Array(subscription.options.applicationServerKey ?? new ArrayBuffer(0))))
    .replaceAll('+', '-')
    .replaceAll('/', '_')
    .replaceAll('=', '')

/** Subscribes this browser, with the permission that the user gives. Call it on a click. */
export async function subscribe(): Promise<void> {
  const before = obstacle()
  if (before) throw new Refused(before)
  if ((await Notification.requestPermission()) !== 'granted') throw new Refused('denied')
  await tellServer()
  save('push', account.peek()?.username)
}

async function tellServer(): Promise<void> {
  const { application_server_key: key } = await settings()
  const { pushManager } = await navigator.serviceWorker.ready
  let subscription = await pushManager.getSubscription()
  // A subscription works with the key that it was made with only, and a server may have another one since.
  if (subscription && keyOf(subscription) !== key) {
    await subscription.unsubscribe()
    subscription = null
  }
  try {
    subscription ??= await pushManager.subscribe({ userVisibleOnly: true, applicationServerKey: key })
  } catch (error) {
    throw new Refused((error as DOMException).name === 'NotAllowedError' ? 'denied' : 'unreachable')
  }
  await call('POST', 'v1/push/subscriptions', subscription.toJSON())
}

/** Subscribes again what the user has switched on, if it has got lost. It asks nobody. */
export async function renew(): Promise<void> {
  if (obstacle() || Notification.permission !== 'granted') return
  await tellServer().catch(() => undefined)
}

/** Ends the subscription of this browser. */
export async function unsubscribe(): Promise<void> {
  save('push', undefined)
  const known = await current()
  if (known) await call('DELETE', `v1/push/subscriptions/${known.id}`)
  const registration = await navigator.serviceWorker.getRegistration()
  await (await registration?.pushManager.getSubscription())?.unsubscribe()
}
