// The beginning of a text or of code, as text and nothing else.

import { useSignal } from '@preact/signals'
import { useEffect } from 'preact/hooks'
import { addressOf } from './fileaddress'
import { f, sizeOf } from './filetexts'
import type { FileInfo } from './protocol'

/** The most bytes that are loaded of a text. */
const most = 64 << 10
/** How many lines are shown before somebody asks for more. The style sheet has the same number. */
const fewLines = 6
/** How many texts are kept. */
const mostKept = 50

const kept = new Map<string, Promise<string>>()

/** Loads the beginning of a text. */
function beginning(file: FileInfo): Promise<string> {
  const there = kept.get(file.file)
  if (there) return there
  if (kept.size >= mostKept) kept.clear()
  const text = fetch(addressOf(file), { credentials: 'same-origin', headers: { Range: `bytes=0-${most - 1}` } }).then(async (answer) => {
    if (!answer.ok) throw new Error(String(answer.status))
    // A server or a proxy may ignore the range.
    const bytes = new Uint8Array(await answer.arrayBuffer()).subarray(0, most)
    return new TextDecoder().decode(bytes, { stream: true })
  })
  kept.set(file.file, text)
  text.catch(() => kept.delete(file.file))
  return text
}

export function TextPreview({ file }: { file: FileInfo }) {
  const text = useSignal<string | undefined>(undefined)
  const failed = useSignal(false)
  const whole = useSignal(false)
  useEffect(() => {
    let here = true
    beginning(file).then(
      (found) => here && (text.value = found),
      () => here && (failed.value = true),
    )
    return () => void (here = false)
  }, [file.file])
  const { name, size } = file
  const long = text.value !== undefined && (text.value.split('\n', fewLines + 2).length > fewLines + 1 || text.value.length > 4000)
  // The place of a long text is kept while it loads.
  return (
    <div class={whole.value ? 'text whole' : 'text'}>
      <pre tabIndex={0} aria-busy={text.value === undefined && !failed.value ? true : undefined} aria-label={f('textOf', { name })} role="region">
        <code>{failed.value ? f('noPreview') : (text.value ?? '')}</code>
      </pre>
      {whole.value && size > most && <p class="quiet">{f('textCut', { size: sizeOf(most) })}</p>}
      {long && (
        <button type="button" class="plain" aria-expanded={whole.value} aria-label={f(whole.value ? 'hideText' : 'showText', { name })} onClick={() => (whole.value = !whole.value)}>
          {f(whole.value ? 'less' : 'more')}
        </button>
      )}
    </div>
  )
}
