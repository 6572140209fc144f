// Files that are dropped, pasted or chosen for a field.

import type { RefObject } from 'preact'
import { useEffect, useState } from 'preact/hooks'
import { notLoaded } from './admintexts'
import { loadFilesPart } from './attached'
import { account, notice, type Field } from './state'
import { t } from './texts'

/** Adds files to a field and begins to upload them. */
export function addFiles(field: Field, files: File[]): void {
  if (files.length === 0) return
  loadFilesPart().then(
    (part) => part.add(field, files),
    () => (notice.value = notLoaded().problem),
  )
}

/** Takes the files of a paste. What programs copy often has a picture of itself too: there the text counts. */
export function pasteFiles(field: Field, event: ClipboardEvent): void {
  const data = event.clipboardData
  if (!data || data.files.length === 0 || data.types.includes('text/plain')) return
  event.preventDefault()
  addFiles(field, [...data.files])
}

/** Takes files that are dropped beside a field: on the messages of its room or its thread. Returns whether some are held there. */
export function useDrop(input: RefObject<HTMLElement | null>, field: Field): boolean {
  const [held, setHeld] = useState(false)
  useEffect(() => {
    const place = input.current!.closest<HTMLElement>('.main, .panel')!
    const withFiles = (event: DragEvent) => event.dataTransfer?.types.includes('Files') && account.peek() && field.composing.peek()?.type !== 'edit'
    const over = (event: DragEvent) => {
      if (!withFiles(event)) return
      event.preventDefault()
      event.dataTransfer!.dropEffect = 'copy'
      setHeld(true)
    }
    const leave = (event: DragEvent) => {
      if (!place.contains(event.relatedTarget as Node | null)) setHeld(false)
    }
    const drop = (event: DragEvent) => {
      setHeld(false)
      if (!withFiles(event)) return
      event.preventDefault()
      // A folder is no file, and cannot be read as one.
      const items = [...event.dataTransfer!.items].filter((i) => i.kind === 'file' && !i.webkitGetAsEntry?.()?.isDirectory)
      addFiles(field, items.flatMap((i) => i.getAsFile() ?? []))
      input.current?.focus()
    }
    place.addEventListener('dragover', over)
    place.addEventListener('dragleave', leave)
    place.addEventListener('drop', drop)
    return () => {
      place.removeEventListener('dragover', over)
      place.removeEventListener('dragleave', leave)
      place.removeEventListener('drop', drop)
    }
  }, [field])
  return held
}

/** Lies over the messages while files are held there. */
export function Dropping() {
  return (
    <div class="dropping" aria-hidden="true">
      <span>{t('drop')}</span>
    </div>
  )
}

// A file that misses the messages must not replace the page.
for (const name of ['dragover', 'drop'] as const) {
  addEventListener(name, (event) => {
    if (event.defaultPrevented || !event.dataTransfer?.types.includes('Files')) return
    event.preventDefault()
    event.dataTransfer.dropEffect = 'none'
  })
}
