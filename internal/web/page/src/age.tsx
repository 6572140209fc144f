// A choice of a length of time.

import { useSignal } from '@preact/signals'
import { a } from './admintexts'
import { ageOf } from './texts'

interface AgeProps {
  id: string
  /** As the server reads and writes it, such as 90d. */
  value: string
  /** Those to choose from, with a text for each that is no number of days or hours. */
  usual: Record<string, string>
  readOnly?: boolean
  write(value: string): void
}

/** One of the usual lengths, or another one, in a field that appears then. */
export function Age({ id, value, usual, readOnly, write }: AgeProps) {
  const other = useSignal(usual[value] === undefined)
  const choose = (chosen: string) => {
    other.value = chosen === 'other'
    if (!other.peek()) write(chosen)
  }
  return (
    <>
      <select id={id} aria-describedby={`${id}-help`} disabled={readOnly} value={other.value ? 'other' : value} onChange={(event) => choose(event.currentTarget.value)}>
        {Object.entries(usual).map(([age, text]) => (
          <option key={age} value={age}>
            {text || ageOf(age)}
          </option>
        ))}
        <option value="other">{a('otherAge')}</option>
      </select>
      {other.value && <input id={`${id}-other`} type="text" autocomplete="off" autocapitalize="off" spellcheck={false} readOnly={readOnly} aria-label={a(usual['12h'] === undefined ? 'otherAgeHelp' : 'otherAgeHours')} placeholder={a(usual['12h'] === undefined ? 'otherAgeHelp' : 'otherAgeHours')} value={value} onInput={(event) => write(event.currentTarget.value)} />}
    </>
  )
}

/** Times to keep messages. */
export const retentions = (): Record<string, string> => ({ forever: a('forever'), '30d': '', '90d': '', '365d': '', '730d': '' })
