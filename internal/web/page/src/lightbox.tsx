// A picture on the whole window: the others of the room are an arrow key away.

import { signal, useSignal } from '@preact/signals'
import { useEffect, useLayoutEffect, useRef } from 'preact/hooks'
import { addressOf } from './fileaddress'
import { f } from './filetexts'
import type { FileInfo } from './protocol'
import { room } from './state'
import { ArrowLeft, ChevronRight, Cross, Download, Minus, Plus } from './symbols'
import { t } from './texts'
import { useZoom, zoomStep, type Zoom } from './zoom'

interface Shown {
  file: FileInfo
  /** Its author. */
  by: string
}

const shown = signal<Shown | undefined>(undefined)
/** What the focus returns to. */
let opener: HTMLElement | undefined

/** Shows a picture large. */
export function showPicture(picture: Shown, from: HTMLElement): void {
  opener = from
  shown.value = picture
}

function close(): void {
  const id = shown.peek()?.file.file
  shown.value = undefined
  // The row may have been rendered anew.
  const back = opener?.isConnected ? opener : document.querySelector<HTMLElement>(`[data-picture="${id}"]`)
  back?.focus()
}

/** The pictures among which the arrow keys go: those of the loaded messages, in their order. */
function around({ file }: Shown): Shown[] {
  const here = room.peek()
  const logs = [here?.log, here?.thread.peek()?.log]
  for (const log of logs) {
    const all = log?.messages.flatMap((m) => (m.files ?? []).filter((p) => p.width).map((p) => ({ file: p, by: m.username }))) ?? []
    if (all.some((p) => p.file.file === file.file)) return all
  }
  return []
}

/** One element for all pictures, so that the focus stays inside it. */
export function Lightbox() {
  const element = useRef<HTMLDialogElement>(null)
  const now = shown.value
  useLayoutEffect(() => {
    const el = element.current!
    if (now && !el.open) el.showModal()
    else if (!now && el.open) el.close()
  }, [now])
  return (
    <dialog
      ref={element}
      class="lightbox"
      aria-label={now ? f('picture', { name: now.file.alt || now.file.name }) : undefined}
      onCancel={(event) => {
        event.preventDefault()
        close()
      }}
      onClose={() => shown.peek() && close()}
    >
      {now && <Inside now={now} />}
    </dialog>
  )
}

function Inside({ now }: { now: Shown }) {
  const stage = useRef<HTMLDivElement>(null)
  const failed = useSignal(false)
  const zoom = useZoom(stage, now.file.file)
  const all = around(now)
  const at = all.findIndex((p) => p.file.file === now.file.file)
  const go = (by: number) => {
    const next = all[at + by]
    if (next) shown.value = next
  }
  useEffect(() => {
    failed.value = false
    stage.current!.focus()
  }, [now.file.file])
  return (
    <div class="lightbox-inside" onKeyDown={(event) => handleKey(event, zoom, go)}>
      <Head now={now} at={at} all={all.length} zoom={zoom} />
      <div class="stage" ref={stage} tabIndex={-1} {...zoom.handlers} onClick={(event) => event.target === event.currentTarget && !zoom.moved() && close()}>
        {failed.value ? (
          <p role="alert">{f('pictureFailed')}</p>
        ) : (
          <img
            key={now.file.file}
            src={addressOf(now.file)}
            alt={now.file.alt || f('picture', { name: now.file.name })}
            width={now.file.width}
            height={now.file.height}
            draggable={false}
            style={zoom.style}
            onError={() => (failed.value = true)}
          />
        )}
      </div>
      {at > 0 && (
        <button type="button" class="icon turn back" aria-label={f('previous')} title={f('previous')} onClick={() => go(-1)}>
          <ArrowLeft />
        </button>
      )}
      {at >= 0 && at < all.length - 1 && (
        <button type="button" class="icon turn" aria-label={f('next')} title={f('next')} onClick={() => go(1)}>
          <ChevronRight />
        </button>
      )}
      {now.file.alt && <p class="lightbox-alt">{now.file.alt}</p>}
    </div>
  )
}

function handleKey(event: KeyboardEvent, zoom: Zoom, go: (by: number) => void): void {
  // The keys of the page are not for it now.
  event.stopPropagation()
  if (event.ctrlKey || event.metaKey || event.altKey) return
  const steps: Record<string, () => void> = {
    ArrowLeft: () => go(-1),
    ArrowRight: () => go(1),
    '+': () => zoom.by(zoomStep),
    '=': () => zoom.by(zoomStep),
    '-': () => zoom.by(1 / zoomStep),
    '0': () => zoom.fit(),
    Escape: close,
  }
  const step = steps[event.key]
  if (!step) return
  event.preventDefault()
  step()
}

function Head({ now, at, all, zoom }: { now: Shown; at: number; all: number; zoom: Zoom }) {
  const { file, by } = now
  const tool = (label: string, does: () => void, symbol: preact.JSX.Element) => (
    <button type="button" class="icon" aria-label={label} title={label} onClick={does}>
      {symbol}
    </button>
  )
  return (
    <header class="lightbox-head">
      <span class="lightbox-name">
        <bdi>{file.name}</bdi>
        <span class="quiet">{f('sharedBy', { name: by })}</span>
      </span>
      <span class="hidden" role="status">
        {all > 1 && `${f('pictureOf', { at: at + 1, all })}: ${file.alt || file.name}`}
      </span>
      {tool(f('zoomOut'), () => zoom.by(1 / zoomStep), <Minus />)}
      {tool(f('zoomIn'), () => zoom.by(zoomStep), <Plus />)}
      <a class="icon" href={addressOf(file)} download={file.name} aria-label={f('downloadFile', { name: file.name })} title={f('download')}>
        <Download />
      </a>
      {tool(t('close'), close, <Cross />)}
    </header>
  )
}
