// Lists of things that the server keeps for an account, each with what can be done to it.

import { useSignal, type Signal } from '@preact/signals'
import type { ComponentChildren } from 'preact'
import { useEffect } from 'preact/hooks'
import { call, problemOf } from './api'
import { useSending, type Sending } from './form'
import type { Problem } from './protocol'
import { Prove } from './prove'
import { explain, t } from './texts'

export interface Loaded<T> {
  value: Signal<T | undefined>
  problem: Signal<Problem | undefined>
  /** Asks the server again. */
  reload(): Promise<void>
}

const once = <T,>(path: string) => call<T>('GET', path)

/** What the server has at a path, asked for again when the path changes. */
export function useLoaded<T>(path: string, load: (path: string, late: () => boolean) => Promise<T> = once): Loaded<T> {
  const value = useSignal<T | undefined>(undefined)
  const problem = useSignal<Problem | undefined>(undefined)
  const current = useSignal(path)
  current.value = path
  const reload = async () => {
    const late = () => current.peek() !== path
    try {
      const found = await load(path, late)
      if (late()) return // a later question may have been answered before
      value.value = found
      problem.value = undefined
    } catch (error) {
      if (current.peek() === path) problem.value = problemOf(error)
    }
  }
  useEffect(() => void reload(), [path])
  return { value, problem, reload }
}

/** Shows that a list is loading, or is empty, or why it cannot be shown. */
export function Waiting({ of, empty = t('nothingHere') }: { of: Loaded<unknown>; empty?: string }) {
  if (of.problem.value) {
    return (
      <p class="problem" role="alert">
        {explain(of.problem.value)}
      </p>
    )
  }
  const found = of.value.value
  if (found === undefined) return <p class="quiet">{t('loading')}</p>
  return Object.values(found as object).some((list) => Array.isArray(list) && list.length === 0) ? <p class="quiet">{empty}</p> : null
}

export function Item({ title, text, badge, children }: { title: ComponentChildren; text?: ComponentChildren; badge?: string; children?: ComponentChildren }) {
  return (
    <li class="item">
      <div class="item-text">
        <strong>
          <bdi>{title}</bdi>
          {badge && <span class="badge">{badge}</span>}
        </strong>
        {text && <span class="quiet">{text}</span>}
      </div>
      <div class="item-tools">{children}</div>
    </li>
  )
}

/** A button that does something at once, or after asking whether the user is sure. */
export function Doing({ label, does, harsh, done }: { label: string; does(): Promise<unknown>; harsh?: boolean; done?(): unknown }) {
  const sure = useSignal(false)
  const sending = useSending(async () => {
    await does()
    sure.value = false
    await done?.()
  })
  return (
    <>
      <button
        type="button"
        class={harsh ? 'secondary harsh' : 'secondary'}
        disabled={sending.busy.value}
        onBlur={() => (sure.value = false)}
        onClick={() => {
          // Another button may have stood here before, so that what it was sure of says nothing.
          if (!harsh || sure.value) sending.submit()
          else sure.value = true
        }}
      >
        {harsh && sure.value ? t('sure', { what: label }) : label}
      </button>
      {sending.problem.value && !sending.problem.value.confirm && (
        <p class="problem" role="alert">
          {explain(sending.problem.value)}
        </p>
      )}
      <Confirm sending={sending} />
    </>
  )
}

/** Asks for a proof where the server wants it again, and goes on with what was asked. */
export function Confirm({ sending }: { sending: Sending }) {
  if (!sending.problem.value?.confirm) return null
  return <Prove name="confirm" field={t('confirmPassword')} label={t('continue')} done={() => sending.submit()} />
}
