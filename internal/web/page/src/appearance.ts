// How the page looks, as the user has chosen: light or dark, wide or tight, with
// the members beside the messages or without. style.css reads the attributes.

import { computed, effect, signal } from '@preact/signals'
import { preference } from './preference'

export const theme = preference('theme', 'auto')
export const density = preference('density', 'normal')
/** Whether a wide screen has the members at its side. */
export const membersBeside = preference('members', true)

const prefersDark = matchMedia('(prefers-color-scheme: dark)')
const systemDark = signal(prefersDark.matches)
prefersDark.addEventListener('change', () => (systemDark.value = prefersDark.matches))

const shown = computed(() => (theme.value !== 'auto' ? theme.value : systemDark.value ? 'dark' : 'light'))

/** Keeps the document as it was chosen to look. */
export function showAppearance(): void {
  const root = document.documentElement
  const frames = [...document.querySelectorAll<HTMLMetaElement>('meta[name="theme-color"]')].map((meta) => ({ meta, own: meta.content }))
  effect(() => {
    root.dataset.theme = shown.value
    // The frame that a phone or an installed app draws around the page.
    for (const { meta, own } of frames) {
      meta.content = theme.value === 'auto' ? own : shown.value === 'dark' ? '#151619' : '#f7f7f5'
    }
  })
  effect(() => {
    root.dataset.density = density.value
  })
}
