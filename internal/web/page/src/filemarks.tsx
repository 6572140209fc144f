// The files of a message where it stands in a list of messages: small pictures, and what they are called.

import { filesIn } from './attached'
import { addressOf } from './fileaddress'
import { FileSymbol } from './filesymbol'
import type { FileInfo } from './protocol'

/** The most pictures that are shown. */
const most = 4

export function FileMarks({ files }: { files: FileInfo[] }) {
  const pictures = files.filter((file) => file.width).slice(0, most)
  return (
    <span class="file-marks">
      {pictures.map((file) => (
        <img key={file.file} src={addressOf(file, true)} alt="" loading="lazy" />
      ))}
      {pictures.length === 0 && <FileSymbol of={files[0]!} />}
      <bdi>{filesIn(files)}</bdi>
    </span>
  )
}
