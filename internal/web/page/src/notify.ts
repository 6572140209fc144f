// Signs of new messages while the user does not look at the page: notifications, the
// title, the icon, and the badge of an installed app.

import { effect } from '@preact/signals'
import { filesIn } from './attached'
import iconFile from './icons/icon.svg'
import unreadIconFile from './icons/icon-unread.svg'
import type { Message } from './protocol'
import { isQuiet, notifications } from './quiet'
import { pathOf } from './route'
import { account, attentive, badgeTotal, news, notifyWhen, room as shown, type Room } from './state'

// Their names are relative to the script.
const icon = new URL(iconFile, import.meta.url).href
const unreadIcon = new URL(unreadIconFile, import.meta.url).href

export type Permission = 'granted' | 'denied' | 'default' | 'unsupported'

export function permission(): Permission {
  return 'Notification' in window ? Notification.permission : 'unsupported'
}

/** Chooses what to notify of. Call it on a click: it may ask for permission. */
export async function choose(when: 'never' | 'mentions' | 'all'): Promise<Permission> {
  let allowed = permission()
  if (when !== 'never' && allowed === 'default') allowed = await Notification.requestPermission()
  const chosen = allowed === 'granted' ? when : 'never'
  notifyWhen.value = chosen
  return allowed
}

/** The shortest time between two sounds of a room; a notification in between is silent. Milliseconds. */
const soundEvery = 1000
const sounded = new Map<string, number>()

/**
 * Notifies of a message if the user wants that and is not looking at the page. It may be one that
 * the user is mentioned in, or that has a keyword. Nothing notifies of the same message again.
 */
export function notify(room: Room, message: Message, mentioned: boolean): void {
  if (attentive.value || message.seq <= room.notified || permission() !== 'granted' || isQuiet(notifications.value.quiet, Date.now())) return
  // An account chooses for each room; the setting of the browser turns all of it off.
  const level = account.value && notifyWhen.value !== 'never' ? room.notify.value : undefined
  const when = level === undefined ? notifyWhen.value : level === 'none' ? 'never' : level
  if (when === 'never' || (when === 'mentions' && !mentioned)) return
  room.notified = message.seq
  const title = `${message.username} · ${room.title.value}`
  // One notification per room, and one for mentions; the service worker does the same. Without `renotify` only the first one would make a sound.
  const now = Date.now()
  const renotify = now - (sounded.get(room.name) ?? -Infinity) >= soundEvery
  if (renotify) sounded.set(room.name, now)
  const options = { body: (message.content || filesIn(message.files)).slice(0, 300), icon, tag: `kaban ${room.name}${mentioned ? ' @' : ''}`, renotify, data: pathOf({ room: room.name, seq: message.seq }) }
  // Phones only take notifications from the service worker.
  void navigator.serviceWorker?.getRegistration().then((registration) => {
    if (registration) return registration.showNotification(title, options)
    const shown = new Notification(title, options)
    shown.onclick = () => {
      window.focus()
      dispatchEvent(new CustomEvent('kaban:go', { detail: options.data }))
    }
    return undefined
  })
}

/** How late the title, icon and badge may be. Milliseconds. */
const countsWait = 50

/** Keeps title, icon and badge in step with the number of unread messages. */
export function showCounts(): void {
  const link = document.querySelector<HTMLLinkElement>('link[rel="icon"]')
  let due = false
  const show = () => {
    due = false
    const n = badgeTotal.peek()
    const any = news.peek()
    const name = shown.peek()?.title.peek()
    document.title = `${n > 0 ? `(${n > 999 ? '999+' : n}) ` : any ? '• ' : ''}${name ? `${name} · ` : ''}Kaban`
    const href = any ? unreadIcon : icon
    if (link && link.getAttribute('href') !== href) link.href = href
    // Not every browser has badges, and only installed pages may use them.
    if (n > 0) void navigator.setAppBadge?.(n).catch(() => undefined)
    else void navigator.clearAppBadge?.().catch(() => undefined)
  }
  effect(() => {
    void badgeTotal.value
    void news.value
    void shown.value?.title.value
    // Each of these calls leaves the page's process, so not for each message.
    if (!due) setTimeout(show, countsWait)
    due = true
  })
}
