// Siehe texts.panels.en.ts.

import type { panels as english } from './texts.panels.en'

export const panels: Record<keyof typeof english, string> = {
  thread: 'Thread',
  threadIn: 'in {room}',
  openThread: 'Thread öffnen',
  lastReply: 'zuletzt {day} um {time}',
  noReplies: 'Noch keine Antworten',
  noRepliesText: 'Was du unten schreibst, antwortet auf diese Nachricht. Alle im Raum sehen es auch dort.',
  olderReplies: 'Frühere Antworten zeigen',
  repliesFailed: 'Die Antworten konnten nicht geladen werden.',
  threadMissing: 'Diese Nachricht ist nicht verfügbar.',
  threadMissingText: 'Vielleicht wurde sie entfernt, oder sie ist aus der Zeit vor dir.',
  writeReply: 'Antworten …',
  copyThreadLink: 'Link zu diesem Thread kopieren',
  back: 'Zurück',
}
