// A row of buttons that is one stop of the Tab key. The arrow keys lead from one to the next.

import type { ComponentChildren } from 'preact'
import { useLayoutEffect, useRef } from 'preact/hooks'

interface Props {
  label: string
  class: string
  children: ComponentChildren
}

export function ButtonRow({ label, class: classes, children }: Props) {
  const row = useRef<HTMLDivElement>(null)
  useLayoutEffect(() => settle(row.current!))
  return (
    <div ref={row} class={classes} role="toolbar" aria-label={label} onKeyDown={(event) => step(event, row.current!)} onFocusIn={() => settle(row.current!)}>
      {children}
    </div>
  )
}

const buttonsOf = (row: HTMLElement) => [...row.querySelectorAll<HTMLButtonElement>('button:not(:disabled)')]

/** The Tab key stops at the button that had the focus last, or at the first one. */
function settle(row: HTMLElement): void {
  const buttons = buttonsOf(row)
  const stop = buttons.find((b) => b === document.activeElement) ?? buttons.find((b) => b.getAttribute('tabindex') === '0') ?? buttons[0]
  for (const button of buttons) button.tabIndex = button === stop ? 0 : -1
}

function step(event: KeyboardEvent, row: HTMLElement): void {
  if (event.altKey || event.ctrlKey || event.metaKey || event.shiftKey) return
  const buttons = buttonsOf(row)
  const at = buttons.indexOf(document.activeElement as HTMLButtonElement)
  const to: Record<string, number> = { ArrowRight: at + 1, ArrowLeft: at - 1, Home: 0, End: -1 }
  const goal = to[event.key]
  if (at < 0 || goal === undefined) return
  event.preventDefault()
  buttons.at(goal % buttons.length)!.focus()
}
