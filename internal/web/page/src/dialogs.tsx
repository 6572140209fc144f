// What opens above the page: the switcher, the list of keys, the settings. They
// are <dialog> elements, which hold the focus and close with Escape by themselves.

import { useSignal } from '@preact/signals'
import type { ComponentChildren } from 'preact'
import { useEffect, useLayoutEffect, useRef, useState } from 'preact/hooks'
import { leave, loadDirectory, show } from './chat'
import { choose, permission, type Permission } from './notify'
import { current, dialog, directory, notifyWhen, rooms, username } from './state'
import { save } from './storage'
import { Cross } from './symbols'
import { language, languages, t, count } from './texts'

export function Dialogs() {
  switch (dialog.value) {
    case 'switcher':
      return <Switcher />
    case 'keys':
      return <Keys />
    case 'settings':
      return <Settings />
    default:
      return null
  }
}

function Modal({ title, name, children }: { title: string; name: string; children: ComponentChildren }) {
  const element = useRef<HTMLDialogElement>(null)
  const gone = useRef(false)
  useLayoutEffect(() => {
    const before = document.activeElement
    const el = element.current!
    el.showModal()
    return () => {
      gone.current = true
      el.close()
      if (before instanceof HTMLElement && before !== document.body) before.focus()
      else document.getElementById('input')?.focus()
    }
  }, [])
  return (
    <dialog
      ref={element}
      class={`dialog ${name}`}
      aria-labelledby="dialog-title"
      onClose={() => {
        // This comes a moment later: the next dialog may be open by then.
        if (!gone.current) dialog.value = undefined
      }}
      onClick={(event) => {
        if (event.target === element.current) dialog.value = undefined
      }}
    >
      <div class="dialog-inside">
        <header class="dialog-head">
          <h2 id="dialog-title">{title}</h2>
          <button type="button" class="icon" aria-label={t('close')} onClick={() => (dialog.value = undefined)}>
            <Cross />
          </button>
        </header>
        {children}
      </div>
    </dialog>
  )
}

interface Choice {
  name: string
  unread: number
  members: number | undefined
  made: boolean
}

/** The rooms that fit what is typed, the best first. */
function choices(query: string): Choice[] {
  const wanted = query.trim().toLowerCase().replace(/^#/, '')
  const own = new Map(rooms.value.map((r) => [r.name, r]))
  const all = new Map<string, Choice>()
  for (const r of rooms.value) all.set(r.name, { name: r.name, unread: r.unread.value, members: r.memberCount.value, made: true })
  for (const r of directory.value) {
    if (!all.has(r.room)) all.set(r.room, { name: r.room, unread: 0, members: r.members, made: true })
  }
  const rank = (c: Choice): number => {
    const at = c.name.indexOf(wanted)
    if (at < 0) return -1
    return (at === 0 ? 4 : /[_.-]/.test(c.name[at - 1]!) ? 3 : 2) + (own.has(c.name) ? 1 : 0) + (c.unread > 0 ? 1 : 0) - (c.name === current.value ? 2 : 0)
  }
  const found = [...all.values()]
    .map((choice) => ({ choice, rank: rank(choice) }))
    .filter((r) => r.rank >= 0)
    .sort((a, b) => b.rank - a.rank || a.choice.name.localeCompare(b.choice.name))
    .slice(0, 12)
    .map((r) => r.choice)
  if (wanted !== '' && !all.has(wanted)) found.push({ name: wanted, unread: 0, members: undefined, made: false })
  return found
}

function Switcher() {
  const query = useSignal('')
  const [chosen, setChosen] = useState(0)
  useEffect(() => void loadDirectory(), [])
  const found = choices(query.value)
  const index = Math.min(chosen, found.length - 1)
  const go = (choice: Choice | undefined) => {
    if (choice) show({ room: choice.name })
  }
  return (
    <Modal title={t('switcher')} name="switcher">
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
          else if (event.key === 'Enter') go(found[index])
          else return
          event.preventDefault()
        }}
      />
      {found.length === 0 && <p class="quiet">{t('noRooms')}</p>}
      <ul id="choices" role="listbox" aria-label={t('rooms')}>
        {found.map((choice, i) => (
          <li key={choice.made ? choice.name : '+'} id={`choice-${i}`} role="option" aria-selected={i === index} onClick={() => go(choice)} onMouseMove={() => setChosen(i)}>
            <span class="hash" aria-hidden="true">
              {choice.made ? '#' : '+'}
            </span>
            <bdi class="room-name">{choice.made ? choice.name : t('makeRoom', { room: choice.name })}</bdi>
            {choice.unread > 0 ? <span class="count">{choice.unread}</span> : choice.members ? <span class="quiet">{count('members', choice.members)}</span> : null}
          </li>
        ))}
      </ul>
    </Modal>
  )
}

function Keys() {
  const command = /Mac|iPhone|iPad/.test(navigator.platform) ? '⌘' : 'Ctrl'
  const list: [string, string[][]][] = [
    [t('keySwitch'), [[command, 'K']]],
    [t('keyPrevious'), [['Alt', '↑'], ['Alt', '↓']]],
    [t('keyUnread'), [['Alt', 'Shift', '↑'], ['Alt', 'Shift', '↓']]],
    [t('keySearch'), [[command, 'F']]],
    [t('keySend'), [['Enter']]],
    [t('keyNewline'), [['Shift', 'Enter']]],
    [t('keyComplete'), [['Tab']]],
    [t('keyScroll'), [['Page ↑'], ['Page ↓']]],
    [t('keyNewest'), [['Alt', 'End']]],
    [t('keyClose'), [['Esc']]],
    [t('keyHelp'), [['?']]],
  ]
  return (
    <Modal title={t('keys')} name="keys">
      <dl class="keys">
        {list.map(([what, ways]) => (
          <div key={what}>
            <dt>{what}</dt>
            <dd>
              {ways.map((keys, i) => (
                <span key={i}>
                  {i > 0 && <span class="quiet"> {t('or')} </span>}
                  {keys.map((k) => (
                    <kbd key={k}>{k}</kbd>
                  ))}
                </span>
              ))}
            </dd>
          </div>
        ))}
      </dl>
      <h3>{t('formatting')}</h3>
      <p class="quiet">{t('formattingHelp')}</p>
    </Modal>
  )
}

function Settings() {
  const [allowed, setAllowed] = useState<Permission>(permission())
  const choose_ = (when: 'never' | 'mentions' | 'all') => void choose(when).then(setAllowed)
  const options = [
    ['never', t('notifyNever')],
    ['mentions', t('notifyMentions', { name: username.value })],
    ['all', t('notifyAll')],
  ] as const
  return (
    <Modal title={t('settings')} name="settings">
      <fieldset>
        <legend>{t('notifications')}</legend>
        <p class="quiet">{t('notificationsHelp')}</p>
        {options.map(([when, label]) => (
          <label class="option" key={when}>
            <input type="radio" name="notify" checked={notifyWhen.value === when} disabled={allowed === 'unsupported' && when !== 'never'} onClick={() => choose_(when)} />
            <span>{label}</span>
          </label>
        ))}
        {allowed === 'denied' && (
          <p class="problem" role="alert">
            {t('notifyDenied')}
          </p>
        )}
        {allowed === 'unsupported' && <p class="quiet">{t('notifyUnsupported')}</p>}
      </fieldset>
      <label class="field">
        <span>{t('language')}</span>
        <select
          value={language.value}
          onChange={(event) => {
            language.value = event.currentTarget.value
            save('language', language.value)
          }}
        >
          {Object.entries(languages).map(([tag, { name }]) => (
            <option key={tag} value={tag} lang={tag}>
              {name}
            </option>
          ))}
        </select>
      </label>
      <button type="button" class="secondary" onClick={leave}>
        {t('signOut')}
      </button>
    </Modal>
  )
}
