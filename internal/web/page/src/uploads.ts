// The files of messages that are being written, on their way to the server.

import { effect, signal } from '@preact/signals'
import { APIError, problemOf } from './api'
import { keepSoon } from './drafts'
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

/** Goes on with a file that was refused. */
export function retry(field: Field, key: string): void {
  patch(field, key, { problem: undefined })
  next()
}

/** Whether a file can still be described: that is part of its upload, which has to begin again. */
export const describable = ({ key }: Attachment): boolean => known.has(key)

/** Describes a picture. */
export function describe(field: Field, key: string, alt: string): void {
  const running = known.get(key)
  if (!running || running.upload.alt === alt) return
  running.stop?.abort()
  if (!field.files.peek().find((f) => f.key === key)?.file) abandon(running.upload)
  const { blob, name } = running.upload
  known.set(key, { ...running, upload: { blob, name, alt }, stop: undefined })
  patch(field, key, { alt, sent: 0, file: undefined, problem: undefined })
  next()
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
  if (!field.waiting.peek() || !field.files.peek().every((f) => f.file)) return
  field.waiting.value = false
  if (field.composing.peek()?.type !== 'edit') field.submit?.()
}

function patch(field: Field, key: string, to: { [K in keyof Attachment]?: Attachment[K] | undefined }): void {
  field.files.value = field.files.peek().map((f) => (f.key === key ? ({ ...f, ...to } as Attachment) : f))
}
