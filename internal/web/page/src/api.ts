// The HTTP API of the server, as docs/http.md describes it. The browser adds the cookie
// of the session; the page never sees it.

import type { Account, Problem, Way } from './protocol'
import { base } from './route'

/** A request failed. Without a code of the server, `code` is `offline` or `http`. */
export class APIError extends Error {
  constructor(
    readonly problem: Problem,
    /** The HTTP status; 0 if there was no answer. */
    readonly status: number,
  ) {
    super(problem.message)
  }
}

/** How long an answer may take. Milliseconds. */
const patience = 30_000

/** Sends a request and returns its answer; undefined where the server answers with nothing. It throws an APIError. */
export async function call<T = undefined>(method: string, path: string, body?: object, late?: AbortSignal): Promise<T> {
  let response: Response
  let text: string
  const ended = new AbortController() // AbortSignal.any is too new for some browsers
  const end = () => ended.abort()
  const timer = setTimeout(end, patience)
  late?.addEventListener('abort', end)
  try {
    response = await fetch(base + path, {
      method,
      credentials: 'same-origin',
      cache: 'no-store',
      signal: ended.signal,
      ...(body === undefined ? {} : { headers: { 'Content-Type': 'application/json' }, body: JSON.stringify(body) }),
    })
    text = await response.text()
  } catch {
    throw new APIError({ code: 'offline', message: '' }, 0)
  } finally {
    clearTimeout(timer)
    late?.removeEventListener('abort', end)
  }
  const answer = parse(text)
  if (response.ok) return answer as T
  const { code, detail, title, field, max, actual, retry_after_ms, confirm } = (answer ?? {}) as Record<string, unknown>
  throw new APIError(
    {
      code: typeof code === 'string' ? code : 'http',
      message: String(detail ?? title ?? response.status),
      ...(typeof field === 'string' ? { field } : {}),
      ...(confirm === true ? { confirm } : {}),
      ...(typeof max === 'number' ? { max } : {}),
      ...(typeof actual === 'number' ? { actual } : {}),
      ...(typeof retry_after_ms === 'number' ? { retry_after_ms } : {}),
    },
    response.status,
  )
}

function parse(text: string): unknown {
  try {
    return text === '' ? undefined : JSON.parse(text)
  } catch {
    return undefined // an error of a proxy
  }
}

/** What went wrong, to show it. */
export function problemOf(error: unknown): Problem {
  return error instanceof APIError ? error.problem : { code: 'page', message: String(error) }
}

/** A path of names, each escaped. */
export const path = (...parts: string[]): string => parts.map(encodeURIComponent).join('/')

export type Access = 'open' | 'signup' | 'invite' | 'closed'

/** What anybody may know of the server. */
export interface Server {
  server: string
  claimed: boolean
  access: Access
  /** Whether anybody may make an account. */
  sign_up: boolean
  /** The least role that makes public rooms. Older servers do not say it. */
  create_rooms?: 'member' | 'admin'
  /** Whether anybody may come in without one. */
  visitors: boolean
  passkeys: boolean
  /** Links have previews. Older servers do not say it. */
  previews?: boolean
  provider?: { name: string }
}

export interface Session {
  account: Account
  device: { id: string; name: string }
  /** The sign-in was a moment ago, as what changes credentials wants. */
  fresh: boolean
  /** How to make it fresh again; older servers do not say it. */
  ways?: Way[]
  expires?: string
}

/**
 * Follows the pages of a search while take wants more. A page is what a part of the
 * accounts has: it may have nobody, with more behind it.
 */
export async function search<Page extends { after?: string }>(path: string, take: (page: Page) => boolean, late?: AbortSignal): Promise<void> {
  for (let after: string | undefined = ''; after !== undefined; ) {
    const page: Page = await call<Page>('GET', `${path}&after=${encodeURIComponent(after)}`, undefined, late)
    after = take(page) ? page.after : undefined
  }
}

/** All pages of a list, up to a limit that no list for people should reach. */
export const mostListed = 200
