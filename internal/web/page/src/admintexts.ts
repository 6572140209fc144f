// The texts that only admins read, once they are loaded.

import { signal } from '@preact/signals'
import { APIError } from './api'
import { countIn, fill, languages, type Values } from './texts'
import type { AdminTexts, PanelText } from './texts.admin.en'

const shown = signal<AdminTexts | undefined>(undefined)

/** All of them, inside a panel. */
export const adminTexts = (): AdminTexts => shown.value!

/** A text of a panel by its key, with its {placeholders} filled in. */
export const a = (key: PanelText, values: Values = {}): string => fill(adminTexts().panels[key], values)

/** How many messages a retention deletes. */
export const deletesText = (n: number): string => countIn(adminTexts().panels, 'retentionDeletes', n)

/** Loads the texts of a language. */
export async function loadAdminTexts(tag: string): Promise<void> {
  try {
    shown.value = (await languages[tag]!.admin()).texts
  } catch {
    throw notLoaded()
  }
}

/** Without a network, or because the server was updated since the page was opened. */
export const notLoaded = () => new APIError({ code: 'part', message: '' }, 0)
