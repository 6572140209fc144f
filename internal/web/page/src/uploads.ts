// The files of messages that are being written, on their way to the server.

import { effect, signal } from '@preact/signals'
import { APIError, call, problemOf } from './api'
import { keepSoon } from './drafts'
import type { FileInfo } from './protocol'
import type { Field } from './state'
import type { Attachment } from './storage'
import { abandon, upload, type Upload } from './tus'

/** The most files of a message, by the server's limit. */
export const mostFiles = 10
/** How many are uploaded at once. */
const mostAtOnce = 3
/** Types of pictures that are previewed. An SVG is none: it is a document. */
const previewed = /^image\/(?:jpeg|png|gif|webp)$/

/** A field that was given more files than a message can have. */
export const tooMany = signal<Field | undefined>(undefined)

interface Running {
  field: Field
  upload: Upload
  stop: AbortController | undefined
  preview: string | undefined
}

/** By the key of the file; only of this visit. */
const known = new Map<string, Running>()
let made = 0
const followed = new WeakSet<Field>()

/** Forgets what is not in its field any more: it was sent, or taken out. */
function follow(field: Field): void {
  if (followed.has(field)) return
  followed.add(field)
  effect(() => {
    const keys = new Set(field.files.value.map((f) => f.key))
    for (const [key, running] of known) {
      if (running.field !== field || keys.has(key)) continue
      running.stop?.abort()
      known.delete(key)
      if (running.preview) URL.revokeObjectURL(running.preview)
    }
  })
}

/** Adds files to a field, as many as there is room for, and uploads them. */
export function add(field: Field, files: File[]): void {
  const room = mostFiles - field.files.peek().length
  tooMany.value = files.length > room ? field : undefined
  const added = files.slice(0, Math.max(0, room)).map((blob): Attachment => {
    const key = `new ${++made}`
    const name = blob.name || 'file'
    const preview = previewed.test(blob.type) ? URL.createObjectURL(blob) : undefined
    known.set(key, { field, upload: { blob, name, alt: '' }, stop: undefined, preview })
    return { key, name, size: blob.size, type: blob.type, alt: '', sent: 0, ...(preview ? { preview } : {}) }
  })
  field.files.value = [...field.files.peek(), ...added]
  follow(field)
  next()
}

/** Takes a file out of a field. */
export function remove(field: Field, key: string): void {
  const found = field.files.peek().find((f) => f.key === key)
  if (!found) return
  const running = known.get(key)
  running?.stop?.abort()
  if (!found.file && running) abandon(running.upload)
  field.files.value = field.files.peek().filter((f) => f.key !== key)
  tooMany.value = undefined
  keepSoon(field)
  settle(field)
}

/** Goes on with a file that was refused, or whose description was. */
export function retry(field: Field, key: string): void {
  patch(field, key, { problem: undefined })
  next()
  void tell(field, key)
}

/** Describes a picture. The server learns of it when it has the picture. */
export function describe(field: Field, key: string, alt: string): void {
  patch(field, key, { alt })
  void tell(field, key)
}

/** Whether the server has all of a file, and its description. */
export const isThere = ({ file, telling, alt }: Attachment): boolean => file !== undefined && !telling && (file.alt ?? '') === alt

/** Tells the server the description of a file that it has, until that is the one that the user wants. */
async function tell(field: Field, key: string): Promise<void> {
  const here = () => field.files.peek().find((f) => f.key === key)
  if (here()?.telling) return
  for (let a = here(); a?.file && !a.problem && !isThere(a); a = here()) {
    patch(field, key, { telling: true })
    try {
      const file = await call<FileInfo>('PATCH', `v1/files/${a.file.file}`, { alt: a.alt })
      // The server may have cleaned it.
      patch(field, key, { file, telling: undefined, ...(here()?.alt === a.alt ? { alt: file.alt ?? '' } : {}) })
    } catch (error) {
      patch(field, key, { problem: problemOf(error), telling: undefined })
      field.waiting.value = false
    }
  }
  keepSoon(field)
  settle(field)
}

/** Begins with those that wait, in their order. */
function next(): void {
  for (const [key, running] of known) {
    const { field, upload: what } = running
    const here = field.files.peek().find((f) => f.key === key)
    if ([...known.values()].filter((r) => r.stop).length >= mostAtOnce) return
    if (here && !running.stop && !here.file && !here.problem) void run(key, running, what)
  }
}

async function run(key: string, running: Running, what: Upload): Promise<void> {
  const { field } = running
  const stop = new AbortController()
  running.stop = stop
  const current = () => known.get(key) === running
  try {
    const file = await upload(what, (sent) => current() && patch(field, key, { sent }), stop.signal)
    if (current()) patch(field, key, { file, sent: what.blob.size })
    void tell(field, key)
  } catch (error) {
    if (current() && !stop.signal.aborted) {
      patch(field, key, { problem: error instanceof APIError ? error.problem : problemOf(error) })
      field.waiting.value = false
    }
  }
  running.stop = undefined
  keepSoon(field)
  settle(field)
  next()
}

/** Sends a message that has waited for its files. */
function settle(field: Field): void {
  if (!field.waiting.peek() || !field.files.peek().every(isThere)) return
  field.waiting.value = false
  if (field.composing.peek()?.type !== 'edit') field.submit?.()
}

function patch(field: Field, key: string, to: { [K in keyof Attachment]?: Attachment[K] | undefined }): void {
  field.files.value = field.files.peek().map((f) => (f.key === key ? ({ ...f, ...to } as Attachment) : f))
}
