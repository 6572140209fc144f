// Until when somebody is away or does not want to be disturbed: a choice of a while, and an end to it.

import { useSignal } from '@preact/signals'
import { saveNotifications } from './account'
import { Failure, useSending } from './form'
import { notifications, quietNow } from './quiet'
import { t, untilOf } from './texts'
import type { Texts } from './texts.en'

const minute = 60_000

/** The hour at which tomorrow begins. */
const morning = 8

/** The ends that are offered. */
export const ends: [string, keyof Texts, (now: Date) => number][] = [
  ['30m', 'for30Minutes', (now) => now.getTime() + 30 * minute],
  ['1h', 'forHour', (now) => now.getTime() + 60 * minute],
  ['4h', 'for4Hours', (now) => now.getTime() + 240 * minute],
  ['tomorrow', 'untilTomorrow', (now) => new Date(now.getFullYear(), now.getMonth(), now.getDate() + 1, morning).getTime()],
  ['week', 'forWeek', (now) => new Date(now.getFullYear(), now.getMonth(), now.getDate() + 7, morning).getTime()],
]

/** When one of them ends, in milliseconds since 1970; undefined for another one. */
export const endOf = (name: string): number | undefined => ends.find(([key]) => key === name)?.[2](new Date())

/** Begins and ends a while without notifications. */
export function Pause() {
  const wanted = useSignal<string | undefined>(undefined)
  const sending = useSending(async () => {
    const { quiet: { until_ms: _, ...hours } = {}, ...rest } = notifications.peek()
    const until_ms = endOf(wanted.peek() ?? '')
    const quiet = { ...hours, ...(until_ms === undefined ? {} : { until_ms }) }
    await saveNotifications({ ...rest, ...(Object.keys(quiet).length > 0 ? { quiet } : {}) })
  })
  const until = notifications.value.quiet?.until_ms ?? 0
  const choose = (name: string) => {
    wanted.value = name
    sending.submit()
  }
  return (
    <div class="pause" id="pause">
      {quietNow.value && until > Date.now() ? (
        <>
          <p role="status">{t('pausedUntil', { time: untilOf(until) })}</p>
          <button type="button" class="secondary" disabled={sending.busy.value} onClick={() => choose('')}>
            {t('resume')}
          </button>
        </>
      ) : (
        <label class="field">
          <span>{t('pauseFor')}</span>
          <select id="pause-for" value="" disabled={sending.busy.value} onChange={(event) => choose(event.currentTarget.value)}>
            <option value="">{t(quietNow.value ? 'quietByHours' : 'notPaused')}</option>
            {ends.map(([key, label]) => (
              <option key={key} value={key}>
                {t(label)}
              </option>
            ))}
          </select>
        </label>
      )}
      <Failure sending={sending} />
    </div>
  )
}
