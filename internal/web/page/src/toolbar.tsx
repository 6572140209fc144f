// The tools of a message.

import { useComputed } from '@preact/signals'
import type { ComponentChildren } from 'preact'
import { answer, edit, remove, setPinned } from './amends'
import { CopyButton } from './copy'
import { closeTool, openEmoji, openPanel, openTool } from './focus'
import type { Message } from './protocol'
import { markUnread } from './reading'
import { may } from './rights'
import { ButtonRow } from './roving'
import { pathOf } from './route'
import { account, factsOf, username, type Room, type Thread } from './state'
import { Bin, Copy, Link, Pencil, Pin, Reply, Smile, Thread as ThreadSymbol, Unread as UnreadSymbol } from './symbols'
import { t } from './texts'
import { focused, opened, pointed, rowOf } from './tools'

/** `thread` is the one whose list the message is in; undefined in the list of the room. */
export function Toolbar({ room, message, thread }: { room: Room; message: Message; thread: Thread | undefined }) {
  const row = rowOf(message.seq, thread?.seq)
  const shown = useComputed(() => (opened.value?.row === row ? opened.value.tool : pointed.value === row || focused.value === row ? 'all' : undefined))
  switch (shown.value) {
    case 'delete':
      return <Sure room={room} message={message} />
    case 'react':
    case 'all':
      return (
        <ButtonRow class="tools uncopied" label={t('tools')}>
          <Tools room={room} message={message} thread={thread} />
        </ButtonRow>
      )
    default:
      return null
  }
}

/** Everything that the user may do with a message. */
function Tools({ room, message, thread }: { room: Room; message: Message; thread: Thread | undefined }) {
  const facts = factsOf(room)
  const own = message.username === username.value
  const { seq, deleted, pinned } = message
  const row = rowOf(seq, thread?.seq)
  const link = (
    <CopyButton label={t('copyLink')} text={() => location.origin + pathOf({ room: room.name, seq })}>
      <Link />
    </CopyButton>
  )
  if (deleted) return link
  return (
    <>
      {may('react', facts) && (
        <Button label={t('react')} tool="react" onClick={(event) => openEmoji(event.currentTarget, { seq, row })}>
          <Smile />
        </Button>
      )}
      {may('send', facts) && !thread && (
        <Button label={t('reply')} onClick={() => answer(room, message)}>
          <Reply />
        </Button>
      )}
      {thread?.seq !== seq && (
        <Button label={t('openThread')} onClick={() => openPanel({ kind: 'thread', seq })}>
          <ThreadSymbol />
        </Button>
      )}
      {own && may('edit', facts) && (
        <Button label={t('edit')} onClick={() => edit(thread ?? room, message)}>
          <Pencil />
        </Button>
      )}
      {may('pin', facts) && (
        <Button label={t(pinned ? 'unpin' : 'pin')} pressed={pinned ?? false} onClick={() => setPinned(room, message, !pinned)}>
          <Pin />
        </Button>
      )}
      <CopyButton label={t('copyText')} text={() => message.content}>
        <Copy />
      </CopyButton>
      {link}
      {account.value && room.member.value && !thread && (
        <Button label={t('markUnread')} onClick={() => void markUnread(room, seq)}>
          <UnreadSymbol />
        </Button>
      )}
      {may(own ? 'delete' : 'deleteOther', facts) && (
        <Button label={t('delete')} tool="delete" onClick={() => openTool(row, 'delete')}>
          <Bin />
        </Button>
      )}
    </>
  )
}

interface ButtonProps {
  label: string
  tool?: string
  pressed?: boolean
  onClick(event: { currentTarget: HTMLButtonElement }): void
  children: ComponentChildren
}

function Button({ label, tool, pressed, onClick, children }: ButtonProps) {
  return (
    <button type="button" class={pressed ? 'icon on' : 'icon'} aria-label={label} title={label} data-tool={tool} onClick={onClick}>
      {children}
    </button>
  )
}

/** Closes an open tool on Escape. */
function onEscape(event: KeyboardEvent): void {
  if (event.key !== 'Escape') return
  event.stopPropagation()
  closeTool()
}

/** Asks once before a message is deleted. */
function Sure({ room, message }: { room: Room; message: Message }) {
  return (
    <div class="tools asking uncopied" role="group" aria-label={t('deleteThis')} onKeyDown={onEscape}>
      <span>{t('deleteThis')}</span>
      <button
        type="button"
        class="plain harsh"
        data-first
        onClick={() => {
          remove(room, message)
          closeTool()
        }}
      >
        {t('delete')}
      </button>
      <button type="button" class="plain" onClick={closeTool}>
        {t('keep')}
      </button>
    </div>
  )
}
