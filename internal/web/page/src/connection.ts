// Connects to /v1/socket and reconnects with backoff: says hello, resumes the session,
// answers heartbeats, and detects a dead or silent server. It does not interpret the
// frames of rooms.

import { randomID } from './id'
import { decode, type Event, type Goodbye, type Refusal, type Request, type Welcome } from './protocol'

export type Status =
  /** Not wanted: there is no name yet, or it was refused. */
  | 'closed'
  | 'connecting'
  | 'open'
  /** The connection is open, but the server does not answer. */
  | 'silent'
  /** Lost, and retrying. */
  | 'waiting'
  /** Ended until the user asks for it: the session is in use elsewhere. */
  | 'replaced'

/** Receives what happens on a connection. */
export interface Listener {
  status(status: Status): void
  /** A new session has begun: everything has to be joined and sent again. */
  welcome(welcome: Welcome): void
  event(event: Event): void
  /** Why the server lets nobody in at the moment; undefined if a try fails in another way, or succeeds. */
  barred(refusal: Refusal | undefined): void
  /** The name was refused, or the server does not want this client. */
  refused(refusal: Refusal): void
  /** The stored session, which another tab may have replaced. */
  session(): string | undefined
}

/** A request was refused, or the connection broke before the answer. */
export class RequestError extends Error {
  constructor(readonly refusal: Refusal | undefined) {
    super(refusal?.message ?? 'the connection was lost')
  }
}

interface Waiting {
  resolve(event: Event): void
  reject(error: RequestError): void
}

/** Backoff between tries: random, and longer each time. Milliseconds. */
const firstWait = 500
const longestWait = 30_000
/** A session that lasts this long resets the backoff. Milliseconds. */
const useful = 10_000
/** How long the server may take to answer hello. Milliseconds. */
const helloPatience = 10_000
/** The longest silence before the server is pinged while the page is visible. Milliseconds. */
const longestSilence = 5_000
/** How long an answer may take before the page reports silence, and before it gives up. Milliseconds. */
const probePatience = 5_000
const giveUpPatience = 20_000
/** How often the silence is measured. Milliseconds. */
const watchEvery = 1_000
/** No pong is sent while more bytes than this are queued: a server that does not read gets no more. */
const mostUnsent = 64 * 1024
/** The most requests that may be unanswered. */
const mostWaiting = 1_000

let passed = 0
let lastDay = Date.now()
let lastTick = performance.now()

/**
 * The time since the page started, in milliseconds. The wall clock can be set back,
 * and the monotonic clock stops while a machine sleeps: the one that advanced further
 * counts.
 */
function elapsed(): number {
  const day = Date.now()
  const tick = performance.now()
  passed += Math.max(day - lastDay, tick - lastTick, 0)
  lastDay = day
  lastTick = tick
  return passed
}

export class Connection {
  private socket: WebSocket | undefined
  /** Undefined: the account of the cookie. */
  private username: string | undefined
  /** The session of this tab's last welcome. */
  private own: string | undefined
  private greeted = false
  private failures = 0
  /** Tries that were given up after hello. The server may still accept one and replace this connection with it. */
  private strays = 0
  /** When the session began, by elapsed(); 0 without one. */
  private since = 0
  private retry: ReturnType<typeof setTimeout> | undefined
  private watch: ReturnType<typeof setTimeout> | undefined
  private goodbye: Goodbye | undefined
  private refusal: Refusal | undefined
  private waiting = new Map<string, Waiting>()
  private heartbeat = 30_000
  /** When the last frame came, and when the server was pinged after it (0 if it was not), by elapsed(). */
  private heard = 0
  private asked = 0
  private silent = false
  /** How long the answer to that ping may take before the connection is given up. */
  private giveUp = giveUpPatience

  constructor(
    private readonly url: string,
    private readonly listener: Listener,
  ) {
    // Signs that the network is back, or that the machine was asleep.
    for (const name of ['online', 'focus', 'pageshow']) addEventListener(name, () => this.probe())
    document.addEventListener('visibilitychange', () => {
      if (document.visibilityState === 'visible') this.probe()
    })
    addEventListener('offline', () => this.probe())
    addEventListener('pagehide', () => this.rest())
  }

  /** Connects at once, under a name or as the account of the cookie. */
  open(username: string | undefined): void {
    this.username = username
    this.failures = this.strays = 0
    this.own = undefined
    this.connect()
  }

  /** Ends the connection and stays away. */
  close(): void {
    this.drop()
    this.own = undefined
    this.listener.status('closed')
  }

  /** Sends a frame; false if there is no session now. */
  send(request: Request, ref?: string): boolean {
    if (!this.greeted || this.socket?.readyState !== WebSocket.OPEN) return false
    this.write(request, ref)
    return true
  }

  /** Sends a request and waits for its answer. */
  ask<T extends Event>(request: Request): Promise<T> {
    return new Promise((resolve, reject) => {
      const ref = randomID()
      if (this.waiting.size >= mostWaiting || !this.send(request, ref)) {
        reject(new RequestError(undefined))
        return
      }
      this.waiting.set(ref, { resolve: (event) => resolve(event as T), reject })
    })
  }

  private write(request: Request, ref?: string): void {
    this.socket?.send(JSON.stringify(ref === undefined ? request : { ...request, ref }))
  }

  private connect(): void {
    this.drop()
    // Another tab took the session over while this one was away. If this one took it
    // back unasked, the two would alternate for ever.
    const kept = this.username === undefined ? undefined : this.listener.session()
    if (this.own !== undefined && kept !== this.own) {
      this.listener.status('replaced')
      return
    }
    this.listener.status(this.failures === 0 ? 'connecting' : 'waiting')
    const socket = new WebSocket(this.url)
    this.socket = socket
    socket.onopen = () => {
      this.write({ type: 'hello', version: 1, ...(this.username === undefined ? {} : { username: this.username }), ...(kept ? { resume: kept } : {}) })
    }
    socket.onmessage = (message) => {
      if (this.socket === socket) this.receive(message.data)
    }
    socket.onclose = () => {
      if (this.socket === socket) this.lost()
    }
    this.arm(helloPatience, () => {
      if (socket.readyState === WebSocket.OPEN) this.strays++
      this.lost()
    })
  }

  private receive(data: unknown): void {
    this.alive()
    const event = typeof data === 'string' ? decode(data) : undefined
    if (!event) {
      this.lost()
      return
    }
    switch (event.type) {
      case 'welcome':
        this.greeted = true
        this.since = elapsed()
        this.own = event.session
        if (this.username !== undefined) this.username = event.username
        this.heartbeat = Math.max(1, event.heartbeat) * 1000
        this.listen()
        this.listener.barred(undefined)
        this.listener.welcome(event)
        this.listener.status('open')
        return
      case 'ping':
        if ((this.socket?.bufferedAmount ?? 0) < mostUnsent) this.write({ type: 'pong' })
        return
      case 'pong':
        return
      case 'goodbye':
        this.goodbye = event
        return
      case 'error':
        if (!this.greeted) this.refusal = event
        break
    }
    const ref = 'ref' in event ? event.ref : undefined
    const asked = ref === undefined ? undefined : this.waiting.get(ref)
    if (ref !== undefined && asked) {
      this.waiting.delete(ref)
      if (event.type === 'error') asked.reject(new RequestError(event))
      else asked.resolve(event)
      // It is also an entry of a room's log.
      if (event.type === 'ack') this.listener.event(event)
      return
    }
    if (this.greeted) this.listener.event(event)
  }

  /** A frame arrived. */
  private alive(): void {
    this.heard = elapsed()
    this.asked = 0
    if (!this.silent) return
    this.silent = false
    this.listener.status('open')
  }

  /** Watches for silence: pings the server, then reports it as silent, then gives up. */
  private listen(): void {
    this.arm(watchEvery, () => {
      const now = elapsed()
      const silence = document.visibilityState === 'visible' ? Math.min(this.heartbeat / 2, longestSilence) : this.heartbeat
      const unanswered = this.asked === 0 ? 0 : now - this.asked
      if (this.asked === 0) {
        // After a sleep of the machine the connection is probably dead.
        if (now - this.heard >= silence) this.probe(now - this.heard > silence + giveUpPatience ? probePatience : giveUpPatience)
      } else if (unanswered >= this.giveUp && this.silent) {
        this.lost()
        return
      } else if (unanswered >= probePatience && !this.silent) {
        this.silent = true
        this.listener.status('silent')
      }
      this.listen()
    })
  }

  /** Checks soon whether the connection is alive; without one, connects at once. */
  private probe(giveUp = probePatience): void {
    if (this.retry !== undefined) {
      if (navigator.onLine) this.connect()
      return
    }
    if (!this.greeted) return
    this.giveUp = this.asked === 0 ? giveUp : Math.min(giveUp, this.giveUp)
    if (this.asked !== 0) return
    this.asked = elapsed()
    this.write({ type: 'ping' })
  }

  /** The user leaves the page: frees the name. It reconnects if the browser shows the page again. */
  private rest(): void {
    if (this.socket === undefined) return
    this.drop()
    this.listener.status('waiting')
    this.retry = setTimeout(() => this.connect(), longestWait)
  }

  private arm(after: number, then: () => void): void {
    clearTimeout(this.watch)
    this.watch = setTimeout(then, after)
  }

  /** The connection has ended: decides whether and when to reconnect. */
  private lost(): void {
    const goodbye = this.goodbye
    const refusal = this.refusal
    const greeted = this.greeted
    if (this.since > 0 && elapsed() - this.since >= useful) this.failures = this.strays = 0
    this.drop()
    // Each try that was given up can replace this connection once. Any other replacement has the session.
    if (goodbye?.reason === 'replaced' && --this.strays < 0) {
      this.listener.status('replaced')
      return
    }
    const again = goodbye?.reconnect_after_ms ?? refusal?.retry_after_ms
    if (goodbye && goodbye.reason !== 'replaced' && again === undefined) {
      // The name may still be held by an earlier connection of this page, which the
      // server drops after a while. A hello that came too late is said again.
      const passing =
        (refusal?.code === 'username_taken' && (this.own !== undefined || this.strays-- > 0)) || refusal?.code === 'hello_required'
      if (!passing) {
        this.listener.status('closed')
        this.listener.refused(
          (!greeted && refusal) || { type: 'error', code: 'goodbye', message: goodbye.reason },
        )
        return
      }
    }
    const wait = Math.min(longestWait, firstWait * 2 ** this.failures) * (0.5 + Math.random() / 2)
    this.failures = Math.min(this.failures + 1, 10)
    // With a time to come back, the refusal is not about this client.
    this.listener.barred(again === undefined ? undefined : refusal)
    this.listener.status('waiting')
    // The server spreads its clients, so its first wait is taken as it is. After that
    // it can only make a wait longer.
    const said = Math.min(again ?? 0, longestWait)
    this.retry = setTimeout(() => this.connect(), said > 0 && this.failures === 1 ? said : Math.max(said, wait))
  }

  /** Forgets the socket and everything that belongs to it. */
  private drop(): void {
    clearTimeout(this.retry)
    clearTimeout(this.watch)
    this.retry = undefined
    const socket = this.socket
    this.socket = undefined
    this.greeted = false
    this.goodbye = this.refusal = undefined
    this.heard = this.asked = this.since = 0
    this.silent = false
    socket?.close()
    const waiting = [...this.waiting.values()]
    this.waiting.clear()
    for (const w of waiting) w.reject(new RequestError(undefined))
  }
}
