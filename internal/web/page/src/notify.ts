// What tells the user of new messages while the page is not looked at:
// notifications, the title, the icon, and the badge of an installed app.

import { effect } from '@preact/signals'
import iconFile from './icons/icon.svg'
import unreadIconFile from './icons/icon-unread.svg'
import { mentions } from './markup'
import type { Message } from './protocol'
import { pathOf } from './route'
import { attentive, notifyWhen, room, unreadTotal } from './state'
import * as state from './state'
import { save } from './storage'

// Their names are as seen from the script.
const icon = new URL(iconFile, import.meta.url).href
const unreadIcon = new URL(unreadIconFile, import.meta.url).href

export type Permission = 'granted' | 'denied' | 'default' | 'unsupported'

export function permission(): Permission {
  return 'Notification' in window ? Notification.permission : 'unsupported'
}

/** Chooses what to be notified of. To be called from a click: it may ask for permission. */
export async function choose(when: 'never' | 'mentions' | 'all'): Promise<Permission> {
  let allowed = permission()
  if (when !== 'never' && allowed === 'default') allowed = await Notification.requestPermission()
  const chosen = allowed === 'granted' ? when : 'never'
  notifyWhen.value = chosen
  save('notify', chosen)
  return allowed
}

/** Notifies of a message if the user wants that and does not look. */
export function notify(roomName: string, message: Message): void {
  if (attentive.value || permission() !== 'granted') return
  const when = notifyWhen.value
  if (when === 'never' || (when === 'mentions' && !mentions(message.content, state.username.value))) return
  const title = `${message.username} · ${roomName}`
  const options = { body: message.content.slice(0, 300), icon, tag: `kaban ${roomName}`, data: pathOf({ room: roomName, seq: message.seq }) }
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

/** Keeps title, icon and badge in step with the number of unread messages. */
export function showCounts(): void {
  const link = document.querySelector<HTMLLinkElement>('link[rel="icon"]')
  effect(() => {
    const n = unreadTotal.value
    const name = room.value?.name
    document.title = `${n > 0 ? `(${n > 999 ? '999+' : n}) ` : ''}${name ? `${name} · ` : ''}Kaban`
    if (link) link.href = n > 0 ? unreadIcon : icon
    // Not every browser has badges, and a page that is not installed may not use them.
    if (n > 0) void navigator.setAppBadge?.(n).catch(() => undefined)
    else void navigator.clearAppBadge?.().catch(() => undefined)
  })
}
