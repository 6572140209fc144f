// Dialogs. They are <dialog> elements, which keep the focus inside and close on Escape by themselves.

import type { FunctionComponent } from 'preact'
import { useLayoutEffect, useRef } from 'preact/hooks'
import { CreateRoom, LeaveRoom, RoomSettings } from './roomdialogs'
import { EmojiPicker } from './emojipicker'
import { InvitePeople, MemberCard, WriteTo } from './persondialogs'
import { closeDialog } from './focus'
import { Modal } from './modal'
import { Settings } from './settings'
import { near } from './place'
import { account, dialog, emojiFor, type Dialog } from './state'
import { Switcher } from './switcher'
import { t } from './texts'

const dialogs: Record<NonNullable<Dialog>, FunctionComponent> = {
  emoji: EmojiPicker,
  switcher: Switcher,
  keys: Keys,
  settings: Settings,
  create: CreateRoom,
  direct: WriteTo,
  invite: InvitePeople,
  room: RoomSettings,
  member: MemberCard,
  leave: LeaveRoom,
}

/**
 * One element for all dialogs, in the document from the start: so it can open and take
 * the focus at once.
 */
export function Dialogs() {
  const element = useRef<HTMLDialogElement>(null)
  const name = dialog.value
  const Content = name && dialogs[name]
  useLayoutEffect(() => {
    const el = element.current!
    if (name && !el.open) el.showModal()
    else if (!name && el.open) el.close()
    // Its size is known now that it is open.
    if (name === 'emoji') return near(el, emojiFor.peek()?.at)
    return undefined
  }, [name])
  return (
    <dialog
      ref={element}
      class={name ? `dialog dialog-${name}` : 'dialog'}
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
      {Content && <Content />}
    </dialog>
  )
}

function Keys() {
  const command = /Mac|iPhone|iPad/.test(navigator.platform) ? '⌘' : 'Ctrl'
  const list: [string, string[][]][] = [
    [t('switcher'), [[command, 'K']]],
    [t('keyPrevious'), [['Alt', '↑'], ['Alt', '↓']]],
    [t('keyUnread'), [['Alt', 'Shift', '↑'], ['Alt', 'Shift', '↓']]],
    ...(account.value ? [[t('keyCatchUp'), [['Alt', 'U']]] as [string, string[][]]] : []),
    [t('searchLabel'), [[command, 'F']]],
    [t('send'), [['Enter']]],
    [t('keyNewline'), [['Shift', 'Enter']]],
    [t('keyEdit'), [['↑']]],
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
