// The texts that only admins read. They are loaded with the first panel that has some.

import { signal } from '@preact/signals'
import type { ComponentChildren } from 'preact'
import { APIError } from './api'
import { useLoaded, Waiting } from './listing'
import { fill, language, languages, type Values } from './texts'
import type { AdminTexts, PanelText } from './texts.admin.en'

const shown = signal<AdminTexts | undefined>(undefined)

/** All of them, inside a panel. */
export const adminTexts = (): AdminTexts => shown.value!

/** A text of a panel by its key, with its {placeholders} filled in. */
export const a = (key: PanelText, values: Values = {}): string => fill(adminTexts().panels[key], values)

async function load(tag: string): Promise<AdminTexts> {
  try {
    return (shown.value = (await languages[tag]!.admin()).texts)
  } catch {
    // Without a network, or because the server was updated since the page was opened.
    throw new APIError({ code: 'part', message: '' }, 0)
  }
}

/** Shows a panel once its texts are there. */
export function WithAdminTexts({ children }: { children: ComponentChildren }) {
  const loaded = useLoaded(language.value, load)
  return loaded.value.value ? <>{children}</> : <Waiting of={loaded} />
}
