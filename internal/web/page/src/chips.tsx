// The files above a field, each with how far its upload is.

import { useSignal } from '@preact/signals'
import { useEffect, useRef } from 'preact/hooks'
import { FileSymbol } from './filesymbol'
import { f, kindOf, refusal, sizeOf } from './filetexts'
import { addressOf } from './fileaddress'
import type { Field } from './state'
import type { Attachment } from './storage'
import { Cross } from './symbols'
import { describe, mostFiles, remove, retry, tooMany } from './uploads'

/** The most characters of a description, by the server's limit. */
const mostAlt = 500

export function Chips({ field }: { field: Field }) {
  const about = useSignal<string | undefined>(undefined)
  const files = field.files.value
  const described = files.find((a) => a.key === about.value)
  const close = () => {
    about.value = undefined
    document.getElementById(field.input)?.focus()
  }
  return (
    <div class="attached">
      <ul aria-label={f('attached')}>
        {files.map((a) => (
          <Chip key={a.key} field={field} attachment={a} describing={about.value === a.key} onDescribe={() => (about.value = about.value === a.key ? undefined : a.key)} />
        ))}
      </ul>
      {described && <Description key={described.key} field={field} attachment={described} close={close} />}
      <p class="attached-note" role="status">
        {tooMany.value === field ? f('tooMany', { max: mostFiles }) : field.waiting.value ? f('sendsLater') : ''}
      </p>
    </div>
  )
}

interface ChipProps {
  field: Field
  attachment: Attachment
  describing: boolean
  onDescribe(): void
}

function Chip({ field, attachment, describing, onDescribe }: ChipProps) {
  const { key, name, alt, file, problem } = attachment
  const remove_ = f('cancelFile', { name })
  const picture = attachment.preview ?? (file?.width ? addressOf(file, true) : undefined)
  return (
    <li class={problem ? 'attachment refused' : 'attachment'}>
      {picture ? <img class="attachment-picture" src={picture} alt="" /> : <FileSymbol of={attachment} />}
      <span class="attachment-text">
        <bdi class="attachment-name" title={name}>
          {name}
        </bdi>
        <State attachment={attachment} />
        {(problem || picture) && (
          <span class="attachment-tools">
            {problem && (
              <button type="button" class="plain" onClick={() => retry(field, key)}>
                {f('retryFile')}
              </button>
            )}
            {!problem && (
              <button type="button" class="plain" aria-label={alt === '' ? f('describeFile', { name }) : undefined} aria-expanded={describing} onClick={onDescribe}>
                {alt === '' ? f('describe') : f('described', { alt })}
              </button>
            )}
          </span>
        )}
      </span>
      <button type="button" class="icon" aria-label={remove_} title={remove_} onClick={() => {
        remove(field, key)
        document.getElementById(field.input)?.focus()
      }}>
        <Cross />
      </button>
    </li>
  )
}

/** How far an upload is, or what has become of it. */
function State({ attachment }: { attachment: Attachment }) {
  const { name, size, sent, file, problem } = attachment
  if (problem) {
    return (
      <span class="attachment-state problem" role="alert">
        {refusal(problem)}
      </span>
    )
  }
  if (file) return <span class="attachment-state">{`${kindOf(attachment)} · ${sizeOf(size)}`}</span>
  const percent = size === 0 ? 0 : Math.floor((100 * sent) / size)
  return (
    <>
      <span class="attachment-state">{sent === 0 ? f('waitingFile') : f('uploading', { sent: sizeOf(sent), size: sizeOf(size) })}</span>
      <progress max={100} value={percent} aria-label={f('progress', { name, percent })} />
    </>
  )
}

/** The field for what a picture shows. */
function Description({ field, attachment, close }: { field: Field; attachment: Attachment; close(): void }) {
  const input = useRef<HTMLInputElement>(null)
  useEffect(() => input.current!.focus(), [])
  const { key, name, alt } = attachment
  const done = () => {
    describe(field, key, input.current!.value.replace(/\s+/g, ' ').trim())
    close()
  }
  return (
    <div class="describing">
      <label for={`${field.input}-alt`}>{f('describeLabel', { name })}</label>
      <span class="describing-field">
        <input
          ref={input}
          id={`${field.input}-alt`}
          type="text"
          maxLength={mostAlt}
          defaultValue={alt}
          placeholder={f('describeHelp')}
          onKeyDown={(event) => {
            if (event.isComposing || (event.key !== 'Enter' && event.key !== 'Escape')) return
            event.preventDefault()
            event.stopPropagation()
            if (event.key === 'Enter') done()
            else close()
          }}
        />
        <button type="button" class="secondary" onClick={done}>
          {f('done')}
        </button>
      </span>
    </div>
  )
}
