// The state of the connection, and errors.

import { useEffect, useState } from 'preact/hooks'
import { useHere } from './chat'
import type { Problem } from './protocol'
import { barred, notice, pending, status } from './state'
import { Cross } from './symbols'
import { count, explain, t } from './texts'

/** How long an error is shown. Milliseconds. */
const noticeTime = 10_000
/** How long a lost connection may last before it is shown. Milliseconds. */
const breakTime = 1200

/** Shows nothing while all is well. */
export function State() {
  const said = notice.value
  const calm = said !== undefined && calmCodes.has(said.code)
  return (
    <div class="states" data-status={status.value}>
      <div role="status">
        <Break />
        {calm && <Said problem={said} />}
      </div>
      {status.value === 'replaced' && (
        <div class="state replaced" role="alert">
          <div>
            <strong>{t('replacedTitle')}</strong>
            <p>{t('replacedText')}</p>
          </div>
          <button type="button" class="primary" onClick={useHere}>
            {t('useHere')}
          </button>
        </div>
      )}
      {said && !calm && (
        <div role="alert">
          <Said problem={said} harsh />
        </div>
      )}
    </div>
  )
}

/** Reports that the connection is lost or silent, once that has lasted. */
function Break() {
  const [lasting, setLasting] = useState(false)
  const [online, setOnline] = useState(navigator.onLine)
  const lost = status.value === 'waiting' || status.value === 'connecting' || status.value === 'silent'
  useEffect(() => {
    setLasting(false)
    if (!lost) return
    const timer = setTimeout(() => setLasting(true), breakTime)
    return () => clearTimeout(timer)
  }, [lost])
  useEffect(() => {
    const look = () => setOnline(navigator.onLine)
    addEventListener('online', look)
    addEventListener('offline', look)
    return () => {
      removeEventListener('online', look)
      removeEventListener('offline', look)
    }
  }, [])
  const unsent = pending.value.filter((p) => !p.error && !p.amend).length
  if (!lasting || !lost) return null
  return (
    <p class="state">
      <span class="pulse" aria-hidden="true" />
      {online && status.value === 'waiting' ? (whyNotIn() ?? t('reconnecting')) : t(!online ? 'offline' : status.value === 'silent' ? 'silent' : 'connecting')}
      {unsent > 0 && ` ${count('unsent', unsent)}`}
    </p>
  )
}

/** Why the server lets nobody in, as a text; undefined if it has not said so. */
export function whyNotIn(): string | undefined {
  const why = barred.value
  if (why?.code === 'server_full') return t('full')
  if (why?.code === 'rate_limited') return t('tooFast')
  return why && explain(why)
}

/** What is only to know, and no error. */
const calmCodes = new Set(['replaced_server'])

/** An error, or something to know. It disappears by itself, unless the pointer or the focus is on it. */
function Said({ problem, harsh }: { problem: Problem; harsh?: boolean }) {
  const [held, setHeld] = useState(false)
  useEffect(() => setHeld(false), [problem])
  useEffect(() => {
    if (held) return
    const timer = setTimeout(() => (notice.value = undefined), noticeTime)
    return () => clearTimeout(timer)
  }, [problem, held])
  return (
    <div
      class={harsh ? 'state notice problem' : 'state notice'}
      onMouseEnter={() => setHeld(true)}
      onMouseLeave={() => setHeld(false)}
      onFocusCapture={() => setHeld(true)}
      onBlurCapture={() => setHeld(false)}
    >
      <span>{explain(problem)}</span>
      <button type="button" class="icon" aria-label={t('close')} onClick={() => (notice.value = undefined)}>
        <Cross />
      </button>
    </div>
  )
}
