// The files of a message in the conversation.

import { filesPart } from './attached'
import type { FileInfo } from './protocol'

/** The longer side of a picture in the conversation. Pixels. */
const side = 360
/** About the height of what is no picture. Pixels. */
const other = 60

/** The size in which a picture is shown, in pixels; undefined for other files. */
export function boxOf({ width, height }: FileInfo): { width: number; height: number } | undefined {
  if (!width || !height) return undefined
  const scale = Math.min(1, side / width, side / height)
  return { width: Math.max(1, Math.round(width * scale)), height: Math.max(1, Math.round(height * scale)) }
}

/** The files of a message. Until what shows them is loaded, their place is kept. */
export function Files({ files, by }: { files: FileInfo[]; by: string }) {
  const part = filesPart()
  if (part) return <part.FileList files={files} by={by} />
  const pictures = files.flatMap((file) => boxOf(file)?.height ?? [])
  const height = (pictures.length === 1 ? pictures[0]! : pictures.length > 0 ? side : 0) + other * (files.length - pictures.length)
  return <div style={{ minHeight: `${height}px` }}>{files.map((file) => file.name).join(', ')}</div>
}

/** What a list of messages shows of the files of one. */
export function marksOf({ files }: { files?: FileInfo[] }) {
  const part = filesPart(files !== undefined)
  return files && part && <part.FileMarks files={files} />
}
