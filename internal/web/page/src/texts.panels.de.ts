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

  markUnread: 'Ab hier als ungelesen markieren',
  unreadFromHere: 'Ungelesen ab hier',
  flagged: 'als ungelesen markiert',

  catchUp: 'Was ist neu?',
  unreadMentions_one: '{count} Erwähnung von dir',
  unreadMentions_other: '{count} Erwähnungen von dir',
  muted: 'stumm',
  mentionsTitle: 'Erwähnungen',
  newIn: 'Neues in Räumen',
  mentionedEveryone: 'alle',
  mentionedHere: 'alle, die da sind',
  readNext: 'Gelesen, weiter',
  readNextHelp: 'Dies und alles davor in seinem Raum gilt als gelesen, und es geht weiter.',
  isRead: 'gelesen',
  space: 'Leertaste',
  caughtUp: 'Du hast alles gesehen',
  caughtUpText: 'Neue Erwähnungen und Räume mit neuen Nachrichten erscheinen hier.',
  inboxFailed: 'Deine Erwähnungen konnten nicht geladen werden.',
  moreMentions: 'Frühere Erwähnungen zeigen',
  keyCatchUp: 'Sehen, was es Neues gibt',
}
