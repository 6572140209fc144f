// What is being written in each field: a text, and the message that it answers or edits.

import { Thread, type Field, type Room } from './state'
import { keepDraft, moveThreadDrafts, takeStrayDrafts, type Composing } from './storage'

/** How long a draft may go unsaved. Milliseconds. */
const draftWait = 200

const unkept = new Set<Field>()
let keeping: ReturnType<typeof setTimeout> | undefined

/** Saves the draft of a field. */
export function draft(field: Field, text: string): void {
  field.draft.value = text
  keepSoon(field)
}

/** Saves what a field is for. */
export function composeFor(field: Field, what: Composing | undefined): void {
  field.composing.value = what
  keepSoon(field)
}

export function keepSoon(field: Field): void {
  unkept.add(field)
  keeping ??= setTimeout(keepDrafts, draftWait)
}

export function keepDrafts(): void {
  clearTimeout(keeping)
  keeping = undefined
  for (const field of unkept) keepDraft(field.key, { text: field.draft.value, about: field.composing.value, epoch: field.epoch, files: field.files.value.flatMap((a) => a.file ?? []) })
  unkept.clear()
}

/**
 * Another epoch has begun: the number of the message that is answered or edited is another
 * message's. The text stays, as one of its own. So do the drafts of threads.
 */
export function detachAll(room: Room, epoch: string): void {
  detach(room, epoch)
  const thread = room.thread.peek()
  if (thread) detach(thread, epoch)
  keepDrafts()
  const texts = takeStrayDrafts(room.name, epoch)
  // It is another thread now, also if its message has the same number.
  if (thread && thread.epoch !== epoch) room.thread.value = new Thread(room, thread.seq)
  if (texts.length === 0) return
  draft(room, [room.draft.peek(), ...texts].filter((text) => text !== '').join('\n\n'))
  if (room.composing.peek()?.type !== 'edit') composeFor(room, { type: 'lost', what: 'reply' })
}

function detach(field: Field, epoch: string): void {
  const about = field.composing.peek()
  if (!about || about.type === 'lost' || about.epoch === epoch) return
  if (about.type === 'edit') draft(field, [about.text, field.draft.peek()].filter((text) => text !== '').join('\n\n'))
  composeFor(field, { type: 'lost', what: about.type })
}

/** Drafts go to the server's spelling of their room's name, those of its threads too. */
export function moveDraft(room: Room, renamed: Room): void {
  keepDrafts()
  moveThreadDrafts(room.name, renamed.name)
  if (!room.drafted.peek() && !room.composing.peek()) return
  if (!renamed.drafted.peek() && !renamed.composing.peek()) {
    draft(renamed, room.draft.peek())
    composeFor(renamed, room.composing.peek())
  }
  draft(room, '')
  composeFor(room, undefined)
}
