// Signing in and out over HTTP.

import { call, APIError, type Server, type Session } from './api'
import type { Notifications } from './protocol'
import { notifications } from './quiet'
import { base, outside } from './route'
import { account, server } from './state'

/** Asks who may come in. Undefined if the server does not answer. */
export async function learnServer(): Promise<Server | undefined> {
  try {
    server.value = await call<Server>('GET', 'v1/server')
  } catch {
    // Then the page asks for a name, as servers without accounts want it.
  }
  return server.value
}

/** The session of the browser's cookie; undefined if there is none. */
export async function learnSession(): Promise<Session | undefined> {
  // Without an owner nobody has an account.
  if (server.value && !server.value.claimed) return undefined
  try {
    const session = await call<Session>('GET', 'v1/session')
    if (account.peek()) account.value = session.account
    return session
  } catch (error) {
    if (error instanceof APIError && error.status === 401) return undefined
    throw error
  }
}

/** The name of this browser in the list of devices. */
export function deviceName(): string {
  const agent = navigator.userAgent
  const browser = /Edg\//.test(agent) ? 'Edge' : /Firefox\//.test(agent) ? 'Firefox' : /Chrom/.test(agent) ? 'Chrome' : /Safari\//.test(agent) ? 'Safari' : 'Browser'
  const system =
    /Android/.test(agent) ? 'Android' : /iPhone|iPad/.test(agent) ? 'iOS' : /Mac OS/.test(agent) ? 'macOS' : /Windows/.test(agent) ? 'Windows' : /CrOS/.test(agent) ? 'ChromeOS' : /Linux/.test(agent) ? 'Linux' : ''
  return system === '' ? browser : `${browser}, ${system}`
}

export const withPassword = (username: string, password: string) => call<Session>('POST', 'v1/session', { username, password, device: deviceName() })
export const withRecoveryCode = (username: string, recovery_code: string) => call<Session>('POST', 'v1/session', { username, recovery_code, device: deviceName() })
export const withLink = (link: string, by: { password: string } | { passkey: object }) => call<Session>('POST', 'v1/session', { link, ...by, device: deviceName() })

/** Makes the sign-in fresh again, as what changes credentials wants it. */
export const confirm = (password: string) => call('POST', 'v1/session/confirm', { password })

/** Where signing in with the provider begins, or linking an identity or confirming there; it leads back to the address of now. */
export function providerLink(to: 'start' | 'link' | 'confirm' = 'start'): string {
  const here = location.pathname.slice(base.length - 1)
  const next = outside(here.slice(1)) && here !== '/device' ? '/' : here
  return `${base}v1/oidc/${to}?next=${encodeURIComponent(next)}`
}

/** Replaces what the account wants to be notified of, on all its devices. */
export async function saveNotifications(wanted: Notifications): Promise<void> {
  notifications.value = await call<Notifications>('PUT', 'v1/account/notifications', wanted)
}
