// Addresses: /r/ROOM, and #SEQ for a message or #thread/SEQ and the like for a panel beside the room; /claim, /sign-in, /invite and /device,
// each with a secret after the #. All are below the path that the page is served at.

/** The path that the page is served at: "/", unless behind a proxy. The script is in its assets. */
export const base = new URL('..', import.meta.url).pathname

/** What is shown beside a room. A search is in the room, or everywhere. */
export type Panel = { kind: 'thread'; seq: number } | { kind: 'pins' | 'inbox' } | { kind: 'search'; query: string; everywhere: boolean }

export interface Place {
  room: string
  seq?: number
  panel?: Panel
}

/** The place that the address names, if it names one. */
export function read(): Place | undefined {
  const found = location.pathname.startsWith(base) && /^r\/([^/]+)$/.exec(location.pathname.slice(base.length))
  if (!found) return undefined
  let room: string
  try {
    room = decodeURIComponent(found[1]!)
  } catch {
    return undefined
  }
  const seq = /^#([1-9]\d{0,15})$/.exec(location.hash)
  const panel = panelOf(location.hash) ?? (history.state as { panel?: Panel } | null)?.panel
  return { room, ...(seq ? { seq: Number(seq[1]) } : {}), ...(panel ? { panel } : {}) }
}

function panelOf(hash: string): Panel | undefined {
  const thread = /^#thread\/([1-9]\d{0,15})$/.exec(hash)
  if (thread) return { kind: 'thread', seq: Number(thread[1]) }
  const search = /^#search(-all)?(?:\/(.*))?$/.exec(hash)
  if (search) return { kind: 'search', query: decoded(search[2] ?? ''), everywhere: search[1] !== undefined }
  return hash === '#pins' || hash === '#inbox' ? { kind: hash === '#pins' ? 'pins' : 'inbox' } : undefined
}

function hashOfPanel(panel: Panel): string {
  switch (panel.kind) {
    case 'thread':
      return `#thread/${panel.seq}`
    case 'search':
      return `#search${panel.everywhere ? '-all' : ''}${panel.query === '' ? '' : `/${encodeURIComponent(panel.query)}`}`
    default:
      return `#${panel.kind}`
  }
}

function hashOf({ seq, panel }: Place): string {
  if (seq !== undefined) return `#${seq}`
  return panel ? hashOfPanel(panel) : ''
}

export function pathOf(place: Place): string {
  return `${base}r/${encodeURIComponent(place.room)}${hashOf(place)}`
}

/**
 * Shows a place in the address. The same place again adds no history. The address of a message has no
 * panel: its entry of the history has it instead, for the way back.
 */
export function show(place: Place, how: 'push' | 'replace'): void {
  const path = pathOf(place)
  const state = place.panel ? { panel: place.panel } : null
  if (how === 'push' && path !== location.pathname + location.hash) history.pushState(state, '', path)
  else history.replaceState(state, '', path)
}

/** A page outside the rooms, with the secret of its link. */
export interface Way {
  screen: 'claim' | 'sign-in' | 'invite' | 'device'
  secret: string
  /** Why signing in at a provider has failed: the code of the server, instead of a secret. */
  failure?: string
  /** What has failed, if it is a confirmation: all of it, or the provider shows no new sign-in. */
  about?: 'confirming' | 'unproven'
}

const ways: ReadonlySet<string> = new Set<Way['screen']>(['claim', 'sign-in', 'invite', 'device'])

/** Whether a path below `base` is a page outside the rooms. */
export const outside = (name: string): boolean => ways.has(name)

/**
 * Reads the page outside the rooms that the address names, and takes its secret out of
 * the address: it stays in no history and no storage, and is gone after a reload.
 */
export function takeWay(): Way | undefined {
  const name = location.pathname.startsWith(base) ? location.pathname.slice(base.length) : ''
  if (!outside(name)) return undefined
  const screen = name as Way['screen']
  const secret = decoded(location.hash.slice(1))
  if (location.hash !== '') history.replaceState(null, '', base + name)
  const failed = /^error=([a-z_]{1,64})(?:&about=(confirming|unproven))?$/.exec(secret)
  return failed ? { screen, secret: '', failure: failed[1], about: failed[2] as Way['about'] } : { screen, secret }
}

function decoded(text: string): string {
  try {
    return decodeURIComponent(text)
  } catch {
    return text
  }
}
