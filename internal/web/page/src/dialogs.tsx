// Dialogs: the switcher, the list of keys, the settings. They are <dialog> elements,
// which keep the focus inside and close on Escape by themselves.

import { useSignal, type Signal } from '@preact/signals'
import type { ComponentChildren } from 'preact'
import { useEffect, useLayoutEffect, useRef, useState } from 'preact/hooks'
import { density, theme } from './appearance'
import { leave } from './chat'
import { closeDialog, visit } from './focus'
import { loadDirectory } from './names'
import { choose, permission, type Permission } from './notify'
import { byName, current, dialog, directory, notifyWhen, username } from './state'
import { save } from './storage'
import { Cross } from './symbols'
import { language, languages, t, count } from './texts'

/**
 * One element for all dialogs, in the document from the start: so it can open and take
 * the focus at once.
 */
export function Dialogs() {
  const element = useRef<HTMLDialogElement>(null)
  const name = dialog.value
  useLayoutEffect(() => {
    const el = element.current!
    if (name && !el.open) el.showModal()
    else if (!name && el.open) el.close()
  }, [name])
  return (
    <dialog
      ref={element}
      class={`dialog ${name ?? ''}`}
      aria-labelledby="dialog-title"
      onCancel={(event) => {
        event.preventDefault()
        closeDialog()
      }}
      onClose={() => {
        // The browser closed it by itself, and it has not been opened again since.
        if (dialog.value && !element.current!.open) closeDialog()
      }}
      onClick={(event) => {
        if (event.target === element.current) closeDialog()
      }}
    >
      {name === 'switcher' && <Switcher />}
      {name === 'keys' && <Keys />}
      {name === 'settings' && <Settings />}
    </dialog>
  )
}

function Modal({ title, children }: { title: string; children: ComponentChildren }) {
  return (
    <div class="dialog-inside">
      <header class="dialog-head">
        <h2 id="dialog-title">{title}</h2>
        <button type="button" class="icon" aria-label={t('close')} onClick={closeDialog}>
          <Cross />
        </button>
      </header>
      {children}
    </div>
  )
}

interface Choice {
  name: string
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
    const at = choice.name.indexOf(wanted)
    if (at < 0) return
    const rank =
      (at > 0 ? (/[_.-]/.test(choice.name[at - 1]!) ? 30 : 20) : choice.name === wanted ? 100 : 40) +
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
    consider({ name: r.name, unread: r.unread.peek(), members: r.memberCount.peek(), made: true }, true)
  }
  for (const r of listed) if (!own.has(r.room)) consider({ name: r.room, unread: 0, members: r.members, made: true }, false)
  const found = best.map((b) => b.choice)
  if (wanted !== '' && best[0]?.choice.name !== wanted) found.push({ name: wanted, unread: 0, members: undefined, made: false })
  return found
}

function Switcher() {
  const query = useSignal('')
  const [chosen, setChosen] = useState(0)
  useEffect(() => void loadDirectory(), [])
  void directory.value
  const asked = query.value
  const found = choices(asked)
  const index = Math.min(chosen, found.length - 1)
  // Only a room that the screen offers to create may be created.
  const go = (choice: Choice | undefined, seen: boolean) => {
    if (choice) visit({ room: choice.name }, 'push', choice.made || (seen && directory.peek().length > 0))
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
      <ul id="choices" role="listbox" aria-label={t('rooms')}>
        {found.map((choice, i) => (
          <li key={choice.made ? choice.name : '+'} id={`choice-${i}`} role="option" aria-selected={i === index} onClick={() => go(choice, true)} onMouseMove={() => setChosen(i)}>
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
    [t('switcher'), [[command, 'K']]],
    [t('keyPrevious'), [['Alt', '↑'], ['Alt', '↓']]],
    [t('keyUnread'), [['Alt', 'Shift', '↑'], ['Alt', 'Shift', '↓']]],
    [t('searchLabel'), [[command, 'F']]],
    [t('send'), [['Enter']]],
    [t('keyNewline'), [['Shift', 'Enter']]],
    [t('keyComplete'), [['Tab']]],
    [t('keyScroll'), [['Page ↑'], ['Page ↓']]],
    [t('keyNewest'), [['Alt', 'End']]],
    [t('keyClose'), [['Esc']]],
    [t('keyHelp'), [['?']]],
  ]
  return (
    <Modal title={t('keys')}>
      <dl class="keys">
        {list.map(([what, ways]) => (
          <div key={what}>
            <dt>{what}</dt>
            <dd>
              {ways.map((keys, i) => (
                <span key={i}>
                  {i > 0 && <span class="quiet">&nbsp;{t('or')} </span>}
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

/** A choice between a few options. */
function Choices<T extends string>({ legend, name, options, value }: { legend: string; name: string; options: [T, string][]; value: Signal<T> }) {
  return (
    <fieldset class="segments">
      <legend>{legend}</legend>
      <div>
        {options.map(([key, label]) => (
          <label key={key}>
            <input type="radio" name={name} checked={value.value === key} onChange={() => (value.value = key)} />
            <span>{label}</span>
          </label>
        ))}
      </div>
    </fieldset>
  )
}

function Settings() {
  return (
    <Modal title={t('settings')}>
      <Notifications />
      <Choices
        legend={t('theme')}
        name="theme"
        options={[
          ['auto', t('themeAuto')],
          ['light', t('themeLight')],
          ['dark', t('themeDark')],
        ]}
        value={theme}
      />
      <Choices
        legend={t('density')}
        name="density"
        options={[
          ['normal', t('densityNormal')],
          ['compact', t('densityCompact')],
        ]}
        value={density}
      />
      <Language />
      <button type="button" class="secondary" onClick={() => void leave()}>
        {t('signOut')}
      </button>
    </Modal>
  )
}

function Notifications() {
  const [allowed, setAllowed] = useState<Permission>(permission())
  const choose_ = (when: 'never' | 'mentions' | 'all') => void choose(when).then(setAllowed)
  const options = [
    ['never', t('notifyNever')],
    ['mentions', t('notifyMentions', { name: username.value })],
    ['all', t('notifyAll')],
  ] as const
  return (
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
  )
}

function Language() {
  return (
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
  )
}
