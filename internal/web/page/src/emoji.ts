// Emoji without the list of them: the usual ones, those used recently, and their normal form.

import { computed } from '@preact/signals'
import { preference } from './preference'

/** Offered to everybody. */
const usual = ['👍', '❤️', '😂', '🎉', '😮', '😢', '👀', '🙏']

/** The most that are offered first: two lines of the picker. */
const mostRecent = 16

/** Those used last, the newest first. */
const recent = preference('emoji', [])

/** Those used last, and then the usual ones. */
export const offered = computed(() => [...new Set([...recent.value, ...usual])].slice(0, mostRecent))

/** Remembers that an emoji was used. */
export function use(emoji: string): void {
  if (recent.peek()[0] === emoji) return
  recent.value = [emoji, ...recent.peek().filter((e) => e !== emoji)].slice(0, mostRecent)
}

/** Whether a text looks like one emoji. The server has the list of them. */
export function isEmoji(text: string): boolean {
  return text.length <= 40 && /^[\p{Emoji}\p{Emoji_Component}\ufe0e]+$/u.test(text) && /[\p{Extended_Pictographic}\p{Regional_Indicator}\u20e3]/u.test(text)
}

/**
 * The normal form of an emoji, as the server stores it: what is a picture only with a selector of
 * variation has one, and nothing else has. A test compares it with internal/emoji.
 */
export function normal(text: string): string {
  return text.replace(/[\ufe0e\ufe0f]/g, '').replace(/(?!\p{Emoji_Presentation})\p{Emoji}(?!\p{Emoji_Modifier})/gu, '$&\ufe0f')
}
