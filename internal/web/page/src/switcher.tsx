// Finds a room by a part of its name, and offers to create one.

import { useSignal } from '@preact/signals'
import { useEffect, useState } from 'preact/hooks'
import { openDialog, visit } from './focus'
import { Modal } from './modal'
import { loadDirectory } from './names'
import { account, byName, current, directory, makesRooms } from './state'
import { count, t } from './texts'

interface Choice {
  name: string
  title: string
  unread: number
  members: number | undefined
  made: boolean
}

/** The most choices that are shown. */
const mostChoices = 12

/** The rooms that match a query, the best first. It subscribes to no signal: a thousand rooms change all the time. */
function choices(query: string): Choice[] {
  const wanted = query.trim().toLowerCase().replace(/^#/, '')
  const best: { choice: Choice; rank: number }[] = []
  const better = (a: { choice: Choice; rank: number }, b: { choice: Choice; rank: number }) => b.rank - a.rank || (a.choice.name < b.choice.name ? -1 : 1)
  const consider = (choice: Choice, own: boolean) => {
    const at = choice.title.toLowerCase().indexOf(wanted)
    if (at < 0) return
    const rank =
      (at > 0 ? (/[_., -]/.test(choice.title[at - 1]!) ? 30 : 20) : choice.title === wanted ? 100 : 40) +
      (own ? 10 : 0) + (choice.unread > 0 ? 10 : 0) - (choice.name === current.peek() ? 20 : 0)
    const item = { choice, rank }
    if (best.length === mostChoices && better(item, best[mostChoices - 1]!) > 0) return
    best.push(item)
    best.sort(better)
    best.length = Math.min(best.length, mostChoices)
  }
  const own = byName.peek()
  const listed = directory.peek()
  for (const r of own.values()) {
    if (r.doubt.peek()) continue
    consider({ name: r.name, title: r.title.peek(), unread: r.unread.peek(), members: r.memberCount.peek(), made: true }, true)
  }
  for (const r of listed) if (!own.has(r.room)) consider({ name: r.room, title: r.room, unread: 0, members: r.members, made: true }, false)
  const found = best.map((b) => b.choice)
  if (wanted !== '' && best[0]?.choice.name !== wanted && makesRooms.peek()) found.push({ name: wanted, title: wanted, unread: 0, members: undefined, made: false })
  return found
}

export function Switcher() {
  const query = useSignal('')
  const [chosen, setChosen] = useState(0)
  useEffect(() => void loadDirectory(), [])
  void directory.value
  const asked = query.value
  const found = choices(asked)
  const index = Math.min(chosen, found.length - 1)
  // Only a room that the screen offers to create may be created.
  const go = (choice: Choice | undefined, seen: boolean) => {
    if (!choice) return
    if (!account.peek()) visit({ room: choice.name }, 'push', choice.made || (seen && directory.peek().length > 0))
    else if (choice.made) visit({ room: choice.name })
    else openDialog('create', choice.name)
  }
  /** Text that has been typed but not rendered yet counts too. */
  const enter = (typed: string) => {
    if (typed === asked) go(found[index], true)
    else go(choices(typed)[0], false)
  }
  return (
    <Modal title={t('switcher')}>
      <input
        type="text"
        role="combobox"
        aria-label={t('switcherLabel')}
        aria-expanded="true"
        aria-controls="choices"
        aria-activedescendant={found[index] ? `choice-${index}` : undefined}
        aria-autocomplete="list"
        autocomplete="off"
        autocapitalize="off"
        spellcheck={false}
        autofocus
        placeholder={t('switcherLabel')}
        onInput={(event) => {
          query.value = event.currentTarget.value
          setChosen(0)
        }}
        onKeyDown={(event) => {
          if (event.isComposing) return
          if (event.key === 'ArrowDown') setChosen((index + 1) % found.length)
          else if (event.key === 'ArrowUp') setChosen((index - 1 + found.length) % found.length)
          else if (event.key === 'Enter') enter(event.currentTarget.value)
          else return
          event.preventDefault()
        }}
      />
      {found.length === 0 && <p class="quiet">{t('noRooms')}</p>}
      <Found found={found} index={index} point={setChosen} go={(choice) => go(choice, true)} />
    </Modal>
  )
}

function Found({ found, index, point, go }: { found: Choice[]; index: number; point(i: number): void; go(choice: Choice): void }) {
  return (
    <ul id="choices" role="listbox" aria-label={t('rooms')}>
      {found.map((choice, i) => (
        <li key={choice.made ? choice.name : '+'} id={`choice-${i}`} role="option" aria-selected={i === index} onClick={() => go(choice)} onMouseMove={() => point(i)}>
          <span class="hash" aria-hidden="true">
            {!choice.made ? '+' : choice.name.startsWith('@') ? '@' : '#'}
          </span>
          <bdi class="room-name">{choice.made ? choice.title : t('makeRoom', { room: choice.name })}</bdi>
          {choice.unread > 0 ? <span class="count">{choice.unread}</span> : choice.members ? <span class="quiet">{count('members', choice.members)}</span> : null}
        </li>
      ))}
    </ul>
  )
}
