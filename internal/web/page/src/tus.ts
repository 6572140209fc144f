// A client of tus 1.0 (https://tus.io/protocols/resumable-upload): uploads a file in parts, and goes
// on where it stopped after the network was gone.

import { APIError } from './api'
import type { FileInfo } from './protocol'
import { base } from './route'

/** The most bytes of one request: proxies refuse much more. */
const mostPart = 50 << 20
/** The first and the longest wait after a failure. Milliseconds. */
const firstWait = 500
const longestWait = 20_000
/** How long a request may stand without progress. Milliseconds. */
const patience = 60_000

/** What is uploaded. `url` is its address on the server, once it has one. */
export interface Upload {
  blob: Blob
  name: string
  alt: string
  url?: string
}

interface Answer {
  status: number
  text: string
  header(name: string): string | null
}

/** The network failed, or the server cannot answer now. */
class Broken extends Error {
  constructor(readonly wait = 0) {
    super('broken')
  }
}

/** Uploads a file and returns what the server made of it. It throws an APIError if that was refused, and the signal's reason. */
export async function upload(what: Upload, report: (sent: number) => void, stop: AbortSignal): Promise<FileInfo> {
  let offset = 0
  let sure = what.url === undefined
  for (let failures = 0; ; ) {
    stop.throwIfAborted()
    const before = offset
    try {
      const answer = what.url === undefined ? await create(what, stop) : sure ? await send(what, offset, report, stop) : await request('HEAD', what.url, {}, undefined, stop)
      sure = true
      offset = Number(answer.header('Upload-Offset') ?? 0)
      report(offset)
      const made = fileOf(answer, what)
      if (made) return made
      // What the server has all of is being kept: it will say so.
      if (offset >= what.blob.size && what.url !== undefined) throw new Broken(firstWait)
      failures = 0
    } catch (error) {
      if (!(error instanceof Broken)) throw error
      sure = false
      failures = offset > before ? 0 : failures + 1
      await pause(Math.max(error.wait, Math.min(longestWait, firstWait * 2 ** Math.min(failures, 10)) * (0.75 + Math.random() / 2)), stop)
    }
  }
}

/** Takes an upload back. That the server forgets it by itself is soon enough if it fails. */
export function abandon({ url }: Upload): void {
  if (url !== undefined) void fetch(url, { method: 'DELETE', credentials: 'same-origin', headers: { 'Tus-Resumable': '1.0.0' } }).catch(() => undefined)
}

/** Begins an upload. It hears the answer also if it is stopped meanwhile: only that says what to take back. */
async function create(what: Upload, stop: AbortSignal): Promise<Answer> {
  const meta = [`filename ${base64(what.name)}`]
  if (what.alt !== '') meta.push(`alt ${base64(what.alt)}`)
  const answer = await request('POST', `${base}v1/files`, { 'Upload-Length': String(what.blob.size), 'Upload-Metadata': meta.join(',') }, undefined)
  // Only its last part: a proxy may have another idea of what is before it.
  const id = answer.header('Location')?.split('/').pop()
  if (id) what.url = `${base}v1/uploads/${id}`
  else if (!fileOf(answer, what)) throw new APIError({ code: 'http', message: 'the upload has no address' }, answer.status)
  if (stop.aborted) abandon(what)
  return answer
}

function send(what: Upload, offset: number, report: (sent: number) => void, stop: AbortSignal): Promise<Answer> {
  const part = what.blob.slice(offset, offset + mostPart)
  const headers = { 'Upload-Offset': String(offset), 'Content-Type': 'application/offset+octet-stream' }
  return request('PATCH', what.url!, headers, part, stop, (sent) => report(offset + sent)).catch((error: unknown) => {
    // It is gone: begin again.
    if (error instanceof APIError && (error.status === 404 || error.status === 410)) {
      delete what.url
      throw new Broken()
    }
    throw error
  })
}

/** What has become of an upload, if it is complete. */
function fileOf({ header }: Answer, { name, alt }: Upload): FileInfo | undefined {
  const file = header('Kaban-File')
  if (!file) return undefined
  const [width, height] = [Number(header('Kaban-Width')), Number(header('Kaban-Height'))]
  return {
    file,
    name: decodeURIComponent(header('Kaban-Name') ?? encodeURIComponent(name)),
    size: Number(header('Kaban-Size')),
    type: header('Kaban-Type') ?? 'application/octet-stream',
    ...(width > 0 && height > 0 ? { width, height } : {}),
    ...(alt === '' ? {} : { alt }),
  }
}

/** Sends a request. XMLHttpRequest, since fetch does not say how much it has sent. */
function request(method: string, url: string, headers: Record<string, string>, body: Blob | undefined, stop?: AbortSignal, progress?: (sent: number) => void): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const x = new XMLHttpRequest()
    let timer = setTimeout(() => x.abort(), patience)
    const alive = () => {
      clearTimeout(timer)
      timer = setTimeout(() => x.abort(), patience)
    }
    const end = () => {
      clearTimeout(timer)
      stop?.removeEventListener('abort', abort)
    }
    const abort = () => x.abort()
    stop?.addEventListener('abort', abort)
    x.upload.onprogress = ({ loaded }) => {
      alive()
      progress?.(loaded)
    }
    x.onload = () => {
      end()
      const answer = { status: x.status, text: x.responseText, header: (name: string) => x.getResponseHeader(name) }
      if (x.status >= 200 && x.status < 300) resolve(answer)
      else reject(failure(answer))
    }
    x.onerror = x.onabort = () => {
      end()
      reject(stop?.aborted ? stop.reason : new Broken())
    }
    x.open(method, url)
    x.setRequestHeader('Tus-Resumable', '1.0.0')
    for (const [name, value] of Object.entries(headers)) x.setRequestHeader(name, value)
    x.send(body ?? null)
  })
}

/** Whether a failure is the end of an upload, or it goes on later. */
function failure({ status, text }: Answer): Error {
  let problem: { code?: string; detail?: string; title?: string; max?: number; actual?: number; retry_after_ms?: number } = {}
  try {
    problem = JSON.parse(text) as typeof problem
  } catch {
    // HEAD has no body, and a proxy says it in HTML.
  }
  const { code, detail, title, max, actual, retry_after_ms: wait } = problem
  // A server that keeps no files says 503 too, and no time to come back.
  const later = wait !== undefined || status === 409 || status === 423 || status === 429 || (status >= 500 && code === undefined)
  if (later && code !== 'storage_full') return new Broken(wait)
  return new APIError({ code: code ?? (status === 413 ? 'too_large' : 'http'), message: detail ?? title ?? String(status), ...(max === undefined ? {} : { max }), ...(actual === undefined ? {} : { actual }) }, status)
}

/** Waits, at most until the network is back. */
function pause(milliseconds: number, stop: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const end = () => {
      clearTimeout(timer)
      removeEventListener('online', end)
      stop.removeEventListener('abort', end)
      resolve()
    }
    const timer = setTimeout(end, milliseconds)
    addEventListener('online', end)
    stop.addEventListener('abort', end)
  })
}

function base64(text: string): string {
  return btoa(Array.from(new TextEncoder().encode(text), (byte) => String.fromCharCode(byte)).join(''))
}
