// Files of messages, as far as everybody needs them: what shows and uploads them is a part of the
// page of its own, which is loaded when the first file is there.

import { signal } from '@preact/signals'
import type { FileInfo } from './protocol'
import { count, language, languages } from './texts'

type Part = typeof import('./filepanels')

const loaded = signal<{ tag: string; part: Part } | undefined>(undefined)
let wanted: { tag: string; part: Promise<Part> } | undefined

/** Loads the part with its texts. It fails without a network, and after an update of the server. */
export function loadFilesPart(): Promise<Part> {
  const tag = language.peek()
  if (wanted?.tag === tag) return wanted.part
  const part = Promise.all([import('./filepanels'), languages[tag]!.files()]).then(([made, { texts }]) => {
    made.speak(texts)
    loaded.value = { tag, part: made }
    return made
  })
  wanted = { tag, part }
  part.catch(() => (wanted = undefined))
  return part
}

/** The part, if it is there; otherwise it is loaded if it is needed now. */
export function filesPart(needed = true): Part | undefined {
  const now = loaded.value
  if ((needed || now) && now?.tag !== language.value) loadFilesPart().catch(() => undefined)
  return now?.part
}

/** The files of a message in words: the name of the only one, or how many there are. */
export function filesIn(files: FileInfo[] = []): string {
  return files.length === 1 ? files[0]!.name : files.length > 0 ? count('files', files.length) : ''
}
