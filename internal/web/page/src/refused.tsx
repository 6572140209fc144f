// What the server has refused, where it was tried: a message, or a change of one.

import { edit } from './amends'
import { discard, isLost, retry } from './outbox'
import type { Amend } from './protocol'
import type { Room } from './state'
import type { Pending } from './storage'
import { explain, t } from './texts'
import type { Texts } from './texts.en'

const sentences: Record<Amend['type'], keyof Texts> = { edit: 'notEdited', delete: 'notDeleted', react: 'notReacted', pin: 'notPinned' }

/** Why something was refused, and what can be done about it. */
export function Refused({ room, pending }: { room: Room; pending: Pending }) {
  const { id, amend, error } = pending
  if (!error) return null
  if (amend?.type === 'edit') return <RefusedEdit room={room} pending={pending} amend={amend} />
  return (
    <div class="fate error" role={amend && 'alert'}>
      {t(amend ? sentences[amend.type] : 'notSent', { reason: explain(!amend && error.code === 'forbidden' ? { ...error, code: 'unheard' } : error) })}{' '}
      {!(amend && isLost(error.code)) && <Choice label={t('tryAgain')} onClick={() => retry(id)} />}{' '}
      <Choice label={t('discard')} onClick={() => discard(id)} />
    </div>
  )
}

/** An edit keeps its text until the user has decided: the one above is what the server has. */
function RefusedEdit({ room, pending, amend }: { room: Room; pending: Pending; amend: Amend & { type: 'edit' } }) {
  const { id } = pending
  void room.version.value
  const error = pending.error!
  const conflict = error.code === 'edit_conflict'
  // Nobody chooses between two texts of which only one is there: the list loads the other.
  const stored = room.message(amend.target)
  return (
    <div class="fate error" role="alert">
      {conflict ? t('editConflict') : t('notEdited', { reason: explain(error) })}
      <blockquote class="yours" dir="auto">
        {amend.content}
      </blockquote>
      {!isLost(error.code) && stored !== null && <Choice label={t(conflict ? 'useYours' : 'tryAgain')} onClick={() => retry(id)} />}{' '}
      {!isLost(error.code) && stored && (
        <Choice
          label={t('editYours')}
          onClick={() => {
            discard(id)
            edit(room, stored, amend.content)
          }}
        />
      )}{' '}
      <Choice label={t(conflict ? 'useTheirs' : 'discard')} onClick={() => discard(id)} />
    </div>
  )
}

function Choice({ label, onClick }: { label: string; onClick(): void }) {
  return (
    <button type="button" class="plain" onClick={onClick}>
      {label}
    </button>
  )
}
