// The service worker: caches the files of the page, so that it opens without a network,
// and opens the message of a notification. It does not handle messages.

declare const SHELL: string[]
declare const VERSION: string

// TypeScript's types for pages lack those of a worker's global scope.
interface ExtendableEvent extends Event {
  waitUntil(promise: Promise<unknown>): void
}
interface FetchEvent extends ExtendableEvent {
  request: Request
  respondWith(response: Promise<Response>): void
}
interface NotificationEvent extends ExtendableEvent {
  notification: Notification
}
interface PushEvent extends ExtendableEvent {
  data: { json(): unknown } | null
}
interface Client {
  readonly focused: boolean
  focus(): Promise<Client>
  postMessage(message: unknown): void
}
interface Scope {
  addEventListener(type: 'install' | 'activate', listener: (event: ExtendableEvent) => void): void
  addEventListener(type: 'fetch', listener: (event: FetchEvent) => void): void
  addEventListener(type: 'push', listener: (event: PushEvent) => void): void
  addEventListener(type: 'notificationclick', listener: (event: NotificationEvent) => void): void
  skipWaiting(): Promise<void>
  registration: ServiceWorkerRegistration
  clients: {
    claim(): Promise<void>
    matchAll(options: { type: 'window' }): Promise<Client[]>
    openWindow(url: string): Promise<unknown>
  }
}
const scope = self as unknown as Scope

/** The path that the page is served at. */
const base = new URL('.', location.href).pathname
const cacheName = `kaban ${VERSION}`
/** How long the network may take before the cached page is shown. Milliseconds. */
const patience = 3000

scope.addEventListener('install', (event) => {
  const keep = async () => {
    const cache = await caches.open(cacheName)
    await cache.addAll(SHELL)
    await scope.skipWaiting()
  }
  event.waitUntil(keep())
})

scope.addEventListener('activate', (event) => {
  const tidy = async () => {
    for (const name of await caches.keys()) if (name !== cacheName) await caches.delete(name)
    await scope.clients.claim()
  }
  event.waitUntil(tidy())
})

scope.addEventListener('fetch', (event) => {
  const { request } = event
  const url = new URL(request.url)
  if (request.method !== 'GET' || url.origin !== location.origin) return
  if (request.mode === 'navigate') {
    if (url.pathname === base) event.respondWith(page(request, './'))
    else if (url.pathname.startsWith(`${base}r/`)) event.respondWith(page(request, 'r/lobby'))
  } else if (url.pathname.startsWith(`${base}assets/`)) event.respondWith(asset(request))
})

/** The page from the server, or the cached one if the server does not answer. */
async function page(request: Request, like: string): Promise<Response> {
  const cache = await caches.open(cacheName)
  const kept = await cache.match(like)
  if (!kept) return fetch(request)
  const stop = new AbortController()
  const timer = setTimeout(() => stop.abort(), patience)
  try {
    const response = await fetch(request.url, { signal: stop.signal })
    return response.ok ? response : kept
  } catch {
    return kept
  } finally {
    clearTimeout(timer)
  }
}

/** The name of an asset changes with its content, so a cached one is never stale. */
async function asset(request: Request): Promise<Response> {
  const kept = await caches.match(request)
  if (kept) return kept
  const response = await fetch(request)
  // What is loaded only when it is needed is kept from then on.
  if (response.ok) await (await caches.open(cacheName)).put(request, response.clone())
  return response
}

/** What the server pushes; see docs/http.md. Without a room it is only a hint. */
interface Pushed {
  room?: string
  seq?: number
  time?: number
  from?: string
  text?: string
  cause?: string
  unread?: number
}

scope.addEventListener('push', (event) => event.waitUntil(show(pushed(event.data))))

function pushed(data: PushEvent['data']): Pushed {
  try {
    return (data?.json() ?? {}) as Pushed
  } catch {
    return {}
  }
}

/**
 * Shows what was pushed. The page's own notification of the room has the same tag, so there is one. Mentions and
 * keywords have one of their own, so that small talk does not take their place.
 */
async function show({ room, seq, time, from, text, cause, unread }: Pushed): Promise<void> {
  const direct = room?.startsWith('@')
  const title = room && from ? (direct ? from : `${from} · ${room}`) : 'Kaban'
  const hint = navigator.language.startsWith('de') ? 'Neue Nachricht' : 'New message'
  const path = room ? `${base}r/${encodeURIComponent(room)}#${seq}` : base
  const tag = room ? `kaban ${room}${cause === 'mention' || cause === 'keyword' ? ' @' : ''}` : 'kaban'
  const known = await scope.registration.getNotifications({ tag })
  const clients = await scope.clients.matchAll({ type: 'window' })
  // Whoever looks at the page sees the message there. Safari wants a notification for each push.
  const silent = clients.some((client) => client.focused) || known.some(({ data }) => data === path)
  await scope.registration.showNotification(title, { body: text || hint, tag, data: path, silent, renotify: !silent, timestamp: time } as NotificationOptions)
  // Not every browser has badges, and only installed pages may use them. An open page counts for itself.
  if (unread && !clients.length) await navigator.setAppBadge?.(unread).catch(() => undefined)
}

scope.addEventListener('notificationclick', (event) => {
  const { notification } = event
  notification.close()
  const path = String(notification.data)
  const open = async () => {
    const [client] = await scope.clients.matchAll({ type: 'window' })
    if (!client) return scope.clients.openWindow(path)
    client.postMessage({ go: path })
    return client.focus()
  }
  event.waitUntil(open())
})

export {}
