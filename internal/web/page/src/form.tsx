// The parts of forms: a card in the middle of the screen, fields with their errors
// beside them, and what happens while a form is sent.

import { useSignal, type Signal } from '@preact/signals'
import type { ComponentChildren } from 'preact'
import { useLayoutEffect, useRef } from 'preact/hooks'
import { problemOf } from './api'
import { RequestError } from './connection'
import { Declined } from './passkey'
import type { Problem } from './protocol'
import { explain, t } from './texts'

/** The one column of a page outside the rooms. */
export function Card({ title, text, children }: { title: string; text?: ComponentChildren; children?: ComponentChildren }) {
  const heading = useRef<HTMLHeadingElement>(null)
  // The next step of several: screen readers begin there, unless a field takes the focus.
  useLayoutEffect(() => {
    const field = document.querySelector<HTMLElement>('.card [autofocus]')
    if (field) field.focus()
    else heading.current!.focus({ preventScroll: true })
  }, [title])
  return (
    <main class="join">
      <div class="card">
        <span class="logo big" aria-hidden="true" />
        <h1 ref={heading} tabIndex={-1}>
          {title}
        </h1>
        {text && <p class="quiet">{text}</p>}
        {children}
      </div>
    </main>
  )
}

export interface Sending {
  busy: Signal<boolean>
  problem: Signal<Problem | undefined>
  /** For `onSubmit`, and for buttons that do the same in another way. */
  submit(event?: Event): void
}

/** The state of a form that is sent by a function. An error that belongs to a field puts the focus there. */
export function useSending(send: () => Promise<unknown>): Sending {
  const busy = useSignal(false)
  const problem = useSignal<Problem | undefined>(undefined)
  const submit = async (event?: Event) => {
    event?.preventDefault()
    if (busy.peek()) return
    const form = event?.currentTarget instanceof HTMLElement ? event.currentTarget : undefined
    busy.value = true
    problem.value = undefined
    try {
      await send()
    } catch (error) {
      if (error instanceof RequestError) problem.value = error.refusal ?? { code: 'offline', message: '' }
      else if (!(error instanceof Declined)) problem.value = problemOf(error)
    }
    busy.value = false
    // After the render that marks the field.
    if (problem.peek()) setTimeout(() => form?.querySelector<HTMLElement>('[aria-invalid="true"]')?.focus())
  }
  return { busy, problem, submit: (event) => void submit(event) }
}

/** The field that a problem belongs to. */
const fields: Record<string, string> = {
  empty_username: 'username',
  too_long_username: 'username',
  invalid_chars_username: 'username',
  username_taken: 'username',
  auth_failed: 'password',
  bad_room: 'room',
  room_taken: 'room',
}

export const fieldOf = (problem: Problem | undefined): string | undefined => problem && (fields[problem.code] ?? problem.field)

interface FieldProps {
  /** As errors of the server name it; also its id. */
  name: string
  label: string
  value: Signal<string>
  sending?: Sending
  help?: string
  type?: 'text' | 'password'
  class?: string
  placeholder?: string
  required?: boolean
  autofocus?: boolean
  autocomplete?: string
  autocapitalize?: 'words'
  minLength?: number
  maxLength?: number
}

export function Field({ name, label, value, sending, help, type = 'text', ...rest }: FieldProps) {
  const shown = useSignal(false)
  const problem = sending?.problem.value
  const wrong = problem !== undefined && fieldOf(problem) === name
  const described = wrong ? `${name}-problem` : help ? `${name}-help` : undefined
  return (
    <div class="field">
      <label for={name}>{label}</label>
      <div class="input">
        <input
          id={name}
          name={name}
          autocapitalize="off"
          spellcheck={false}
          value={value.value}
          aria-describedby={described}
          aria-invalid={wrong}
          onInput={(event) => {
            value.value = event.currentTarget.value
            if (wrong && sending) sending.problem.value = undefined
          }}
          {...({ ...rest, type: type === 'password' && shown.value ? 'text' : type } as object)}
        />
        {type === 'password' && (
          <button type="button" class="reveal" aria-pressed={shown.value} aria-controls={name} onClick={() => (shown.value = !shown.value)}>
            {t(shown.value ? 'hidePassword' : 'showPassword')}
          </button>
        )}
      </div>
      {wrong ? (
        <p class="problem" id={`${name}-problem`} role="alert">
          {explain(problem)}
        </p>
      ) : (
        help && (
          <p class="quiet help" id={`${name}-help`}>
            {help}
          </p>
        )
      )}
    </div>
  )
}

/** An error that belongs to none of the fields. */
export function Failure({ sending, fields: shown = [] }: { sending: Sending; fields?: string[] }) {
  const problem = sending.problem.value
  if (!problem || problem.confirm || shown.includes(fieldOf(problem) ?? '')) return null
  return (
    <p class="problem" role="alert">
      {explain(problem)}
    </p>
  )
}

/** Says quietly that something was saved. */
export function Saved({ when }: { when: boolean }) {
  return when ? (
    <p class="quiet saved" role="status">
      {t('saved')}
    </p>
  ) : null
}

export function Submit({ sending, children }: { sending: Sending; children: ComponentChildren }) {
  return (
    <button type="submit" class="primary" disabled={sending.busy.value} aria-busy={sending.busy.value}>
      {children}
    </button>
  )
}

/** A choice between a few options. The chosen one has a sentence about it. */
export function Options<T extends string>({ legend, name, options, value }: { legend: string; name: string; options: [T, string, string?][]; value: { value: T } }) {
  return (
    <fieldset class="options">
      <legend>{legend}</legend>
      {options.map(([key, label, text]) => (
        <label key={key} class="option">
          <input type="radio" name={name} value={key} checked={value.value === key} onChange={() => (value.value = key)} />
          <span>
            {label}
            {text && value.value === key && <span class="quiet">{text}</span>}
          </span>
        </label>
      ))}
    </fieldset>
  )
}
