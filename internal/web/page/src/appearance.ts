// The look of the page, as the user has chosen: theme, density, and whether members
// are shown beside the messages. The style sheet reads the attributes.

import { computed, effect, signal } from '@preact/signals'
import { preference } from './preference'

export const theme = preference('theme', 'auto')
export const density = preference('density', 'normal')
/** Whether a wide screen shows the members beside the messages. */
export const membersBeside = preference('members', true)
/** The same for conversations of two people, which have nobody to list. */
export const pairBeside = signal(false)

const prefersDark = matchMedia('(prefers-color-scheme: dark)')
const systemDark = signal(prefersDark.matches)
prefersDark.addEventListener('change', () => (systemDark.value = prefersDark.matches))

const shown = computed(() => (theme.value !== 'auto' ? theme.value : systemDark.value ? 'dark' : 'light'))

/** Applies the choices to the document, now and when they change. */
export function showAppearance(): void {
  const root = document.documentElement
  const frames = [...document.querySelectorAll<HTMLMetaElement>('meta[name="theme-color"]')].map((meta) => ({ meta, own: meta.content }))
  effect(() => {
    root.dataset.theme = shown.value
    // Phones and installed apps draw a frame of this colour around the page.
    for (const { meta, own } of frames) {
      meta.content = theme.value === 'auto' ? own : shown.value === 'dark' ? '#151619' : '#f7f7f5'
    }
  })
  effect(() => {
    root.dataset.density = density.value
  })
}
