// Chooses an emoji, for a reaction or for the field. It opens at once with those that are
// used most; the others follow when the list has been loaded.

import type { RefObject, TargetedKeyboardEvent } from 'preact'
import { useComputed, useSignal, type Signal } from '@preact/signals'
import { useEffect, useLayoutEffect, useRef, useState } from 'preact/hooks'
import { react } from './amends'
import { isEmoji, normal, offered, use } from './emoji'
import { emoji, emojiOf, failed, find, inTone, loadEmoji, tone, tones, type Emoji } from './emojidata'
import { insert } from './field'
import { closeDialog, closeEmoji, touch } from './focus'
import { ButtonRow } from './roving'
import { emojiFor, room } from './state'
import { Cross } from './symbols'
import { t } from './texts'
import type { Texts } from './texts.en'

/** The most that a search shows. */
const mostFound = 100

/** The groups of Unicode, with an emoji that stands for each. */
const groups: readonly [keyof Texts, string][] = [
  ['emojiSmileys', '😀'],
  ['emojiPeople', '👋'],
  ['emojiNature', '🐻'],
  ['emojiFood', '🍔'],
  ['emojiTravel', '🚗'],
  ['emojiActivities', '⚽'],
  ['emojiObjects', '💡'],
  ['emojiSymbols', '🔣'],
  ['emojiFlags', '🏁'],
]

/** Does what the picker was opened for. */
function choose(text: string, more: boolean): void {
  const about = emojiFor.peek()
  const shown = room.peek()
  if (!about || !shown) return
  if ('input' in about) {
    use(normal(text))
    insert(about.input, text)
    if (!more) closeEmoji()
    return
  }
  const message = shown.message(about.seq)
  closeEmoji()
  if (message) react(shown, message, text)
}

export function EmojiPicker() {
  const query = useSignal('')
  const about = useSignal<string | undefined>(undefined)
  const inside = useRef<HTMLDivElement>(null)
  const field = useRef<HTMLInputElement>(null)
  useEffect(() => void loadEmoji(), [])
  const asked = query.value.trim()
  useLayoutEffect(() => {
    const options = optionsOf(inside.current!)
    // The list may be loaded after an arrow key chose one of those that are used most. It stays chosen.
    activate(inside.current!, field.current!, asked === '' ? options.find(chosen) : options[0], about)
  }, [asked, emoji.value])
  const onKeyDown = (event: TargetedKeyboardEvent<HTMLInputElement>) => {
    if (event.isComposing) return
    const options = optionsOf(inside.current!)
    const at = options.findIndex(chosen)
    if (event.key === 'Enter') {
      // Somebody that types fast presses Enter before what has just been typed is rendered.
      const typed = event.currentTarget.value.trim()
      const text = (typed === asked ? options[at]?.dataset.emoji : find(typed, 1).map(inTone)[0]) ?? (isEmoji(typed) ? typed : undefined)
      if (text !== undefined) choose(text, event.shiftKey)
    } else {
      const to = next(options, at, event)
      if (to === undefined) return
      activate(inside.current!, field.current!, to, about)
      to.scrollIntoView({ block: 'nearest' })
    }
    event.preventDefault()
  }
  return (
    <div ref={inside} class="emoji-picker">
      <h2 id="dialog-title" class="hidden">
        {t('emoji')}
      </h2>
      <Head field={field} query={query} onKeyDown={onKeyDown} />
      <Groups hidden={asked !== ''} list={inside} />
      <div
        id="emoji-list"
        class="emoji-list"
        role="listbox"
        aria-label={t('emoji')}
        // The field keeps the focus.
        onMouseDown={(event) => event.preventDefault()}
        onMouseMove={(event) => activate(inside.current!, field.current!, optionAt(event.target), about)}
        onClick={(event) => {
          const text = optionAt(event.target)?.dataset.emoji
          if (text !== undefined) choose(text, event.shiftKey)
        }}
      >
        {asked === '' ? <Everything /> : <Results asked={asked} />}
      </div>
      <Outcome asked={asked} />
      <Foot about={about} />
    </div>
  )
}

function Head({ field, query, onKeyDown }: { field: RefObject<HTMLInputElement | null>; query: Signal<string>; onKeyDown(event: TargetedKeyboardEvent<HTMLInputElement>): void }) {
  return (
    <div class="emoji-head">
      <input
        ref={field}
        type="text"
        role="combobox"
        aria-label={t('emojiSearch')}
        placeholder={t('emojiSearch')}
        aria-expanded="true"
        aria-controls="emoji-list"
        aria-autocomplete="list"
        autocomplete="off"
        spellcheck={false}
        autofocus={!touch()}
        onInput={(event) => (query.value = event.currentTarget.value)}
        onKeyDown={onKeyDown}
      />
      <button type="button" class="icon" aria-label={t('close')} onClick={closeDialog}>
        <Cross />
      </button>
    </div>
  )
}

const optionsOf = (inside: HTMLElement) => [...inside.querySelectorAll<HTMLElement>('[role=option]')]
const chosen = (option: HTMLElement) => option.ariaSelected === 'true'
const optionAt = (target: EventTarget | null) => (target instanceof Element ? target.closest<HTMLElement>('[role=option]') : null)

/** Marks the option that Enter chooses. This does not render the list, which is long. */
function activate(inside: HTMLElement, field: HTMLElement, to: HTMLElement | null | undefined, about: Signal<string | undefined>): void {
  if (to === null) return
  for (const old of inside.querySelectorAll('[role=option][aria-selected=true]')) old.ariaSelected = 'false'
  about.value = to?.dataset.emoji
  if (!to) return field.removeAttribute('aria-activedescendant')
  to.ariaSelected = 'true'
  field.setAttribute('aria-activedescendant', to.id)
}

/** The option that an arrow key leads to, as the options stand on the screen. */
function next(options: HTMLElement[], at: number, { key, currentTarget }: KeyboardEvent): HTMLElement | undefined {
  const empty = (currentTarget as HTMLInputElement).value === ''
  if (key === 'ArrowRight' && (at >= 0 || empty)) return options[Math.min(at + 1, options.length - 1)]
  if (key === 'ArrowLeft' && at >= 0) return options[Math.max(at - 1, 0)]
  if (key !== 'ArrowDown' && key !== 'ArrowUp') return undefined
  if (at < 0) return options[0]
  const from = options[at]!.getBoundingClientRect()
  const step = key === 'ArrowDown' ? 1 : -1
  let best: HTMLElement | undefined
  let line: number | undefined
  let least = Infinity
  for (let i = at + step; i >= 0 && i < options.length; i += step) {
    const box = options[i]!.getBoundingClientRect()
    if (Math.abs(box.top - from.top) < box.height / 2) continue
    if (line !== undefined && Math.abs(box.top - line) > box.height / 2) break
    line = box.top
    const distance = Math.abs(box.left - from.left)
    if (distance >= least) continue
    least = distance
    best = options[i]
  }
  return best ?? options[at]
}

/** Leads to the groups. */
function Groups({ hidden, list }: { hidden: boolean; list: { current: HTMLElement | null } }) {
  if (hidden || !emoji.value) return null
  return (
    <ButtonRow class="emoji-groups" label={t('emojiGroups')}>
      {groups.map(([name, text], i) => (
        <button key={name} type="button" class="icon emoji" aria-label={t(name)} title={t(name)} onClick={() => list.current?.querySelector(`[data-group="${i}"]`)?.scrollIntoView({ block: 'start' })}>
          {text}
        </button>
      ))}
    </ButtonRow>
  )
}

/** Those used most, and all groups. The later groups are rendered after the first ones have been painted. */
function Everything() {
  const all = emoji.value
  const [most, setMost] = useState(2)
  useEffect(() => {
    if (!all || most >= groups.length) return
    const frame = requestAnimationFrame(() => setMost(most + 1))
    return () => cancelAnimationFrame(frame)
  }, [all, most])
  return (
    <>
      <Group id="r" name={t('emojiRecent')} texts={offered.value} all={all} />
      {all && groups.map(([name], i) => (i < most ? <AllOf key={name} group={i} name={t(name)} all={all} /> : <section key={name} data-group={i} />))}
    </>
  )
}

function AllOf({ group, name, all }: { group: number; name: string; all: readonly Emoji[] }) {
  const texts = all.filter((e) => e.group === group).map(inTone)
  return <Group id={`g${group}`} name={name} texts={texts} all={all} group={group} />
}

function Results({ asked }: { asked: string }) {
  const found = find(asked, mostFound).map(inTone)
  if (found.length === 0) return null
  return <Group id="f" name={t('emojiFound')} texts={found} all={emoji.value} />
}

function Group({ id, name, texts, all, group }: { id: string; name: string; texts: string[]; all: readonly Emoji[] | undefined; group?: number }) {
  return (
    <section role="group" aria-label={name} data-group={group}>
      <h3 aria-hidden="true">{name}</h3>
      <div class="emoji-grid" role="presentation">
        {texts.map((text, i) => (
          <span key={text} id={`emoji-${id}-${i}`} role="option" aria-selected={false} aria-label={(all && emojiOf(text)?.label) || text} class="emoji" data-emoji={text}>
            {text}
          </span>
        ))}
      </div>
    </section>
  )
}

/** Says why nothing is offered. */
function Outcome({ asked }: { asked: string }) {
  if (failed.value) {
    return (
      <p class="emoji-outcome problem" role="alert">
        {t('emojiFailed')}{' '}
        <button type="button" class="plain" onClick={() => void loadEmoji()}>
          {t('tryAgain')}
        </button>
      </p>
    )
  }
  const text = asked === '' ? undefined : !emoji.value ? t('loading') : isEmoji(asked) || find(asked, 1).length > 0 ? undefined : t('emojiNone')
  return (
    <p class={text === undefined ? 'hidden' : 'emoji-outcome quiet'} role="status">
      {text}
    </p>
  )
}

const toneNames: readonly (keyof Texts)[] = ['tone0', 'tone1', 'tone2', 'tone3', 'tone4', 'tone5']

/** What Enter chooses, and the skin tones. */
function Foot({ about }: { about: Signal<string | undefined> }) {
  const shown = useComputed(() => (about.value === undefined ? undefined : { text: about.value, found: emoji.value && emojiOf(about.value) }))
  return (
    <div class="emoji-foot">
      <div class="emoji-about" aria-hidden="true">
        {shown.value && (
          <>
            <span class="emoji">{shown.value.text}</span>
            <span class="emoji-name">
              {shown.value.found?.label}
              <span class="quiet">{shown.value.found && `:${shown.value.found.names[0]}:`}</span>
            </span>
          </>
        )}
      </div>
      <fieldset class="emoji-tones">
        <legend class="hidden">{t('tones')}</legend>
        {tones.map((sign, i) => (
          <label key={i} title={t(toneNames[i]!)}>
            <input type="radio" name="tone" aria-label={t(toneNames[i]!)} checked={tone.value === i} onChange={() => (tone.value = i)} />
            <span class="emoji" aria-hidden="true">
              {`✋${sign}`}
            </span>
          </label>
        ))}
      </fieldset>
    </div>
  )
}
