// The files of a message: pictures, what can be played, texts with their beginning, and everything else.

import { boxOf } from './files'
import { FileSymbol } from './filesymbol'
import { f, kindOf, sizeOf } from './filetexts'
import { showPicture } from './lightbox'
import { addressOf } from './fileaddress'
import type { FileInfo } from './protocol'
import { Download } from './symbols'
import { TextPreview } from './textpreview'

/** With so many pictures or more, they stand three in a row. */
const threeAbreast = 5

const isPicture = (file: FileInfo) => boxOf(file) !== undefined

/** Elements that play a type, if the browser can. */
function playerOf({ type }: FileInfo): 'audio' | 'video' | undefined {
  const kind = type.startsWith('audio/') ? 'audio' : type.startsWith('video/') ? 'video' : undefined
  return kind && document.createElement(kind).canPlayType(type) !== '' ? kind : undefined
}

export function FileList({ files, by }: { files: FileInfo[]; by: string }) {
  const pictures = files.filter(isPicture)
  const others = files.filter((file) => !isPicture(file))
  return (
    <div class="files">
      {pictures.length === 1 && <Picture file={pictures[0]!} by={by} />}
      {pictures.length > 1 && (
        <div class={pictures.length >= threeAbreast ? 'pictures three' : 'pictures'}>
          {pictures.map((file) => (
            <Picture key={file.file} file={file} by={by} tile />
          ))}
        </div>
      )}
      {others.map((file) => (
        <Other key={file.file} file={file} />
      ))}
    </div>
  )
}

/** A picture, whose place is known before it is loaded. */
function Picture({ file, by, tile }: { file: FileInfo; by: string; tile?: boolean }) {
  const { name, alt } = file
  const box = boxOf(file)!
  return (
    <button
      type="button"
      class={tile ? 'picture tile' : 'picture'}
      data-picture={file.file}
      title={alt || name}
      aria-label={f('showPicture', { name: alt || name })}
      onClick={(event) => showPicture({ file, by }, event.currentTarget)}
    >
      <img src={addressOf(file, true)} alt={alt || f('picture', { name })} loading="lazy" decoding="async" width={box.width} height={box.height} />
    </button>
  )
}

function Other({ file }: { file: FileInfo }) {
  const player = playerOf(file)
  const text = /^text\//.test(file.type) && file.size > 0
  return (
    <div class="file-with">
      {player === 'video' && <video class="film" controls preload="none" src={addressOf(file)} aria-label={file.name} />}
      {player === 'audio' && <audio class="sound" controls preload="none" src={addressOf(file)} aria-label={file.name} />}
      {text && <TextPreview file={file} />}
      <Chip file={file} />
    </div>
  )
}

/** Name, size and type. A click downloads the file. */
function Chip({ file }: { file: FileInfo }) {
  const { name, size } = file
  return (
    <a class="file" href={addressOf(file)} download={name} title={f('downloadFile', { name })}>
      <FileSymbol of={file} />
      <span class="file-text">
        <bdi class="file-name">{name}</bdi>
        <span class="quiet">{`${kindOf(file)} · ${sizeOf(size)}`}</span>
      </span>
      <span class="hidden">{f('download')}</span>
      <Download />
    </a>
  )
}
