// The connection of the page.

import { Connection, type Listener } from './connection'
import { deliver } from './inbox'
import type { Event, Request } from './protocol'
import { base } from './route'

let connection: Connection

export function prepare(listener: Listener): void {
  connection = new Connection(location.origin.replace(/^http/, 'ws') + base + 'v1/socket', listener)
}

/** Connects under a name or, without one, as the account of the cookie. */
export const open = (username?: string) => connection.open(username)
export const close = () => connection.close()
export const send = (request: Request, ref?: string) => connection.send(request, ref)

/** Sends a request and waits for its answer. Events that came before it have been handled by then. */
export async function ask<T extends Event>(request: Request): Promise<T> {
  try {
    return await connection.ask<T>(request)
  } finally {
    deliver()
  }
}
