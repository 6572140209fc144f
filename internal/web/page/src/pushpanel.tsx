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
    <fieldset aria-busy={busy.value}>
      <label class="option">
        <input
          type="checkbox"
          id="push"
          checked={on.value}
          disabled={busy.value || never}
          aria-describedby="push-help"
          onClick={(event) => {
            event.preventDefault() // it is on once the server says so
            void attempt(on.peek() ? unsubscribe : subscribe)
          }}
        />
        <span>{words.title}</span>
      </label>
      <p class="quiet" id="push-help">
        {words.help}
      </p>
      {inTheWay.value && (
        <p class={never ? 'quiet' : 'problem'} role="alert">
          {words[inTheWay.value]}
        </p>
      )}
      {on.value && (
        <label class="option">
          <input
            type="checkbox"
            id="push-text"
            checked={withText.value}
            disabled={busy.value}
            aria-describedby="push-text-help"
            onClick={(event) => {
              event.preventDefault()
              void attempt(() => setContent(withText.peek() ? 'hint' : 'text'))
            }}
          />
          <span>{words.text}</span>
          <span class="quiet help" id="push-text-help">
            {words.textHelp}
          </span>
        </label>
      )}
      {problem.value && (
        <p class="problem" role="alert">
          {explain(problem.value)}
        </p>
      )}
    </fieldset>
  )
}
