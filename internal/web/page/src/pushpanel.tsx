// The switch for notifications while the page is closed.

import { useSignal } from '@preact/signals'
import { useEffect } from 'preact/hooks'
import { problemOf } from './api'
import type { Problem } from './protocol'
import { isSubscribed, obstacle, Refused, setContent, settings, subscribe, unsubscribe, type Obstacle } from './push'
import { explain, language } from './texts'
import { texts } from './texts.push'

export { renew } from './push'

export function PushPanel() {
  const words = texts[language.value] ?? texts.en!
  const inTheWay = useSignal<Obstacle | undefined>(obstacle())
  const problem = useSignal<Problem | undefined>(undefined)
  const on = useSignal(false)
  const withText = useSignal(true)
  const busy = useSignal(true)
  const attempt = async (change: () => Promise<unknown>) => {
    busy.value = true
    problem.value = undefined
    inTheWay.value = obstacle()
    try {
      await change()
      on.value = await isSubscribed()
      withText.value = (await settings()).content === 'text'
    } catch (error) {
      if (error instanceof Refused) inTheWay.value = error.obstacle
      else problem.value = problemOf(error)
    }
    busy.value = false
  }
  useEffect(() => void attempt(() => Promise.resolve()), [])
  const never = inTheWay.value === 'insecure' || inTheWay.value === 'unsupported'
  return (
    <fieldset class="options" aria-busy={busy.value}>
      <Option id="push" on={on.value} disabled={busy.value || never} turn={() => void attempt(on.peek() ? unsubscribe : subscribe)} title={words.title} help={words.help} />
      {inTheWay.value && (
        <p class={never ? 'quiet' : 'problem'} role="alert">
          {words[inTheWay.value]}
        </p>
      )}
      {on.value && (
        <Option
          id="push-text"
          on={withText.value}
          disabled={busy.value}
          turn={() => void attempt(() => setContent(withText.peek() ? 'hint' : 'text'))}
          title={words.text}
          help={words.textHelp}
        />
      )}
      {problem.value && (
        <p class="problem" role="alert">
          {explain(problem.value)}
        </p>
      )}
    </fieldset>
  )
}

/** A switch that is on once the server says so. */
function Option(props: { id: string; on: boolean; disabled: boolean; turn: () => void; title: string; help: string }) {
  const help = `${props.id}-help`
  return (
    <label class="option">
      <input
        type="checkbox"
        id={props.id}
        checked={props.on}
        disabled={props.disabled}
        aria-describedby={help}
        onClick={(event) => {
          event.preventDefault()
          props.turn()
        }}
      />
      <span>
        {props.title}
        <span class="quiet" id={help}>
          {props.help}
        </span>
      </span>
    </label>
  )
}
