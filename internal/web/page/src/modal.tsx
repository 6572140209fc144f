// What all dialogs have around them.

import type { ComponentChildren } from 'preact'
import { closeDialog } from './focus'
import { Cross } from './symbols'
import { t } from './texts'

export function Modal({ title, children }: { title: string; children: ComponentChildren }) {
  return (
    <div class="dialog-inside">
      <header class="dialog-head">
        <h2 id="dialog-title">{title}</h2>
        <button type="button" class="icon" aria-label={t('close')} onClick={closeDialog}>
          <Cross />
        </button>
      </header>
      {children}
    </div>
  )
}
