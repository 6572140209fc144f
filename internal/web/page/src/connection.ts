// One connection after the other to /v1/socket: says hello, resumes the session,
// answers heartbeats, notices when the other side is gone, and comes back with
// patience. What the frames mean is not its business.

import { decode, randomID, type Event, type Goodbye, type Refusal, type Request, type Welcome } from './protocol'

export type Status =
  /** Not wanted: nobody has said a name yet, or it was refused. */
  | 'closed'
  | 'connecting'
  | 'open'
  /** Lost, and trying again. */
  | 'waiting'
  /** Ended for good until the user asks: the session is used elsewhere. */
  | 'replaced'

/** Whom a connection tells what happens. */
export interface Listener {
  status(status: Status): void
  /** A new session has begun: everything has to be joined and sent again. */
  welcome(welcome: Welcome): void
  event(event: Event): void
  /** The name was refused, or the server does not want this client. */
  refused(refusal: Refusal): void
  /** The session that another tab may have left behind by now. */
  session(): string | undefined
}

/** A request that was refused, or not answered because the connection broke. */
export class RequestError extends Error {
  constructor(readonly refusal: Refusal | undefined) {
    super(refusal?.message ?? 'the connection was lost')
  }
}

interface Waiting {
  resolve(event: Event): void
  reject(error: RequestError): void
}

/** Waits between tries: at random, longer each time. Milliseconds. */
const firstWait = 500
const longestWait = 30_000
/** How long the server may take to say welcome, or pong when we doubt. */
const helloPatience = 10_000
const probePatience = 5_000
/** How often a name is tried again that our own lost connection may still hold: some two minutes. */
const takenTries = 10

export class Connection {
  private socket: WebSocket | undefined
  private username = ''
  /** The session of this tab's last welcome. */
  private own: string | undefined
  private greeted = false
  private failures = 0
  private retry: ReturnType<typeof setTimeout> | undefined
  private watch: ReturnType<typeof setTimeout> | undefined
  private goodbye: Goodbye | undefined
  private refusal: Refusal | undefined
  private waiting = new Map<string, Waiting>()
  private heartbeat = 30_000
  private heard = 0
  private probed = 0

  constructor(
    private readonly url: string,
    private readonly listener: Listener,
  ) {
    // What may mean that the network is back, or that time has stood still.
    for (const name of ['online', 'focus', 'pageshow']) addEventListener(name, () => this.probe())
    document.addEventListener('visibilitychange', () => {
      if (document.visibilityState === 'visible') this.probe()
    })
    addEventListener('offline', () => this.probe())
    addEventListener('pagehide', () => this.rest())
  }

  /** Connects under a name, or again at once. */
  open(username: string): void {
    this.username = username
    this.failures = 0
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
      if (!this.send(request, ref)) {
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
    // Another tab has taken the session over while this one was away. Taking it
    // back unasked, the two would take turns for ever.
    const kept = this.listener.session()
    if (this.own !== undefined && kept !== this.own) {
      this.listener.status('replaced')
      return
    }
    this.listener.status(this.failures === 0 ? 'connecting' : 'waiting')
    const socket = new WebSocket(this.url)
    this.socket = socket
    socket.onopen = () => {
      this.write({ type: 'hello', version: 1, username: this.username, ...(kept ? { resume: kept } : {}) })
    }
    socket.onmessage = (message) => {
      if (this.socket === socket) this.receive(message.data)
    }
    socket.onclose = () => {
      if (this.socket === socket) this.lost()
    }
    this.arm(helloPatience, () => this.lost())
  }

  private receive(data: unknown): void {
    this.heard = Date.now()
    const event = typeof data === 'string' ? decode(data) : undefined
    if (!event) {
      this.lost()
      return
    }
    switch (event.type) {
      case 'welcome':
        this.greeted = true
        this.failures = 0
        this.own = event.session
        this.username = event.username
        this.heartbeat = Math.max(1, event.heartbeat) * 1000
        this.listen()
        this.listener.welcome(event)
        this.listener.status('open')
        return
      case 'ping':
        this.write({ type: 'pong' })
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
      return
    }
    if (this.greeted) this.listener.event(event)
  }

  /** Asks for a sign of life whenever there has been none for a heartbeat. */
  private listen(): void {
    this.arm(this.heartbeat, () => {
      const now = Date.now()
      if (now - this.heard >= this.heartbeat) this.probe()
      this.listen()
    })
  }

  /** Finds out soon whether the connection still stands, and tries at once if there is none. */
  private probe(): void {
    if (this.retry !== undefined) {
      if (navigator.onLine) this.connect()
      return
    }
    if (!this.greeted || this.probed > this.heard) return
    const asked = Date.now()
    this.probed = asked + 1
    this.write({ type: 'ping' })
    const socket = this.socket
    setTimeout(() => {
      if (this.socket === socket && this.heard < asked) this.lost()
    }, probePatience)
  }

  /** The user leaves the page: it frees the name, and comes back if the browser shows it again. */
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

  /** The connection has ended: decides whether and when to come back. */
  private lost(): void {
    const goodbye = this.goodbye
    const refusal = this.refusal
    const greeted = this.greeted
    this.drop()
    if (goodbye?.reason === 'replaced') {
      this.listener.status('replaced')
      return
    }
    const again = goodbye?.reconnect_after_ms ?? refusal?.retry_after_ms
    if (goodbye && again === undefined) {
      // The name may still be held by our own connection of before, which the
      // server gives up after a while.
      const patient = refusal?.code === 'username_taken' && this.own !== undefined && this.failures < takenTries
      if (!patient) {
        this.listener.status('closed')
        this.listener.refused(
          (!greeted && refusal) || { type: 'error', code: 'goodbye', message: goodbye.reason },
        )
        return
      }
    }
    const wait = again ?? Math.min(longestWait, firstWait * 2 ** this.failures) * (0.5 + Math.random() / 2)
    this.failures++
    this.listener.status('waiting')
    this.retry = setTimeout(() => this.connect(), wait)
  }

  /** Forgets the socket and all that belongs to it. */
  private drop(): void {
    clearTimeout(this.retry)
    clearTimeout(this.watch)
    this.retry = undefined
    const socket = this.socket
    this.socket = undefined
    this.greeted = false
    this.goodbye = this.refusal = undefined
    this.probed = this.heard = 0
    socket?.close()
    const waiting = [...this.waiting.values()]
    this.waiting.clear()
    for (const w of waiting) w.reject(new RequestError(undefined))
  }
}
