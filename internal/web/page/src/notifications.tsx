// What an account wants to be notified of, and when not, on all its devices.

import { useSignal, type Signal } from '@preact/signals'
import type { ComponentChildren } from 'preact'
import { saveNotifications } from './account'
import { Failure, Saved, Submit, useSending } from './form'
import { Pause } from './pause'
import type { Level, Quiet } from './protocol'
import { notifications, weekdays } from './quiet'
import { Cross } from './symbols'
import { t, weekdayOf, zone } from './texts'

/** The limits of the server. */
const mostKeywords = 20
const longestKeyword = 64

const levels = [
  ['all', 'levelAll'],
  ['mentions', 'levelMentions'],
  ['none', 'levelNone'],
] as const

/** Hours of somebody that has never chosen any. */
const night = { from: '22:00', to: '07:00' }

export function NotificationsOfAccount() {
  const saved = useSignal(false)
  // Another device may have changed something.
  return (
    <>
      <Pause />
      <Form key={JSON.stringify(notifications.value)} done={() => (saved.value = true)} changed={() => (saved.value = false)}>
        <Saved when={saved.value} />
      </Form>
    </>
  )
}

function Form({ done, changed, children }: { done(): void; changed(): void; children: ComponentChildren }) {
  const { level: kept = 'mentions', keywords = [], quiet } = notifications.peek()
  const level = useSignal<Level>(kept)
  const words = useSignal(keywords)
  const written = useSignal('')
  const byHours = useSignal(quiet?.from !== undefined)
  const hours = useSignal<Quiet>(quiet?.from === undefined ? { ...night, zone: zone() } : quiet)
  const sending = useSending(async () => {
    const { from, to, zone, days } = hours.peek()
    const until_ms = notifications.peek().quiet?.until_ms
    const wanted: Quiet = {
      ...(byHours.peek() && from && to && zone ? { from, to, zone, ...(days && days.length < weekdays.length ? { days } : {}) } : {}),
      // What is over need not be kept.
      ...((until_ms ?? 0) > Date.now() ? { until_ms: until_ms! } : {}),
    }
    // A word that was written, and not added, was meant.
    const all = withWord(words.peek(), written.peek())
    await saveNotifications({ level: level.peek(), keywords: all, ...(Object.keys(wanted).length > 0 ? { quiet: wanted } : {}) })
    done()
  })
  return (
    <form class="fields" onSubmit={sending.submit} onInput={changed}>
      <label class="field">
        <span>{t('defaultLevel')}</span>
        <select id="default-level" value={level.value} aria-describedby="default-level-help" onChange={(event) => (level.value = event.currentTarget.value as Level)}>
          {levels.map(([key, label]) => (
            <option key={key} value={key}>
              {t(label)}
            </option>
          ))}
        </select>
        <span class="quiet help" id="default-level-help">
          {t('defaultLevelHelp')}
        </span>
      </label>
      <Keywords words={words} written={written} />
      <fieldset>
        <label class="option">
          <input type="checkbox" id="quiet-hours" checked={byHours.value} onChange={(event) => (byHours.value = event.currentTarget.checked)} />
          <span>{t('quietHours')}</span>
        </label>
        {byHours.value && <Hours hours={hours} />}
      </fieldset>
      <Failure sending={sending} />
      <Submit sending={sending}>{t('save')}</Submit>
      {children}
    </form>
  )
}

function withWord(words: string[], written: string): string[] {
  const word = written.trim()
  const known = words.some((w) => w.toLowerCase() === word.toLowerCase())
  return word === '' || known ? words : [...words, word].slice(0, mostKeywords)
}

function Keywords({ words, written }: { words: Signal<string[]>; written: Signal<string> }) {
  const full = words.value.length >= mostKeywords
  const add = () => {
    words.value = withWord(words.peek(), written.peek())
    written.value = ''
  }
  return (
    <div class="field">
      <label for="keyword">{t('keywords')}</label>
      <div class="chips">
        {words.value.map((word) => (
          <span class="chip word" key={word}>
            <bdi>{word}</bdi>
            <button type="button" class="icon" aria-label={t('removePerson', { name: word })} onClick={() => (words.value = words.value.filter((w) => w !== word))}>
              <Cross />
            </button>
          </span>
        ))}
        <input
          id="keyword"
          type="text"
          autocomplete="off"
          aria-describedby="keyword-help"
          maxLength={longestKeyword}
          disabled={full}
          value={written.value}
          onInput={(event) => (written.value = event.currentTarget.value)}
          onKeyDown={(event) => {
            if (event.isComposing) return
            const { value } = event.currentTarget
            if ((event.key === 'Enter' || event.key === ',') && value.trim() !== '') add()
            else if (event.key === 'Backspace' && value === '') words.value = words.value.slice(0, -1)
            else return
            event.preventDefault()
          }}
        />
        <button type="button" class="plain" disabled={full || written.value.trim() === ''} onClick={add}>
          {t('addKeyword')}
        </button>
      </div>
      <span class="quiet help" id="keyword-help">
        {full ? t('keywordsFull', { count: mostKeywords }) : t('keywordsHelp')}
      </span>
    </div>
  )
}

function Hours({ hours }: { hours: Signal<Quiet> }) {
  const { from, to, zone: of = zone(), days = weekdays } = hours.value
  const set = (change: Quiet) => (hours.value = { ...hours.value, ...change })
  const zones = [...new Set([of, zone(), ...Intl.supportedValuesOf('timeZone')])].sort()
  return (
    <div class="fields hours">
      <div class="times">
        <label class="field">
          <span>{t('quietFrom')}</span>
          <input type="time" id="quiet-from" required value={from} onInput={(event) => set({ from: event.currentTarget.value })} />
        </label>
        <label class="field">
          <span>{t('quietTo')}</span>
          <input type="time" id="quiet-to" required value={to} onInput={(event) => set({ to: event.currentTarget.value })} />
        </label>
        <label class="field zone">
          <span>{t('quietZone')}</span>
          <select id="quiet-zone" value={of} onChange={(event) => set({ zone: event.currentTarget.value })}>
            {zones.map((name) => (
              <option key={name} value={name}>
                {name.replaceAll('_', ' ')}
              </option>
            ))}
          </select>
        </label>
      </div>
      <fieldset class="segments">
        <legend>{t('quietDays')}</legend>
        <div>
          {weekdays.map((day, i) => (
            <label key={day}>
              <input
                type="checkbox"
                name="quiet-days"
                value={day}
                // One day at least: without any it would be every day.
                disabled={days.length === 1 && days.includes(day)}
                checked={days.includes(day)}
                onChange={(event) => set({ days: weekdays.filter((d) => (d === day ? event.currentTarget.checked : days.includes(d))) })}
              />
              <span>{weekdayOf(i)}</span>
            </label>
          ))}
        </div>
      </fieldset>
    </div>
  )
}
