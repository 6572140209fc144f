// What is shown beside a room, or in front of it where there is no place beside it.

import type { ComponentChildren } from 'preact'
import { CatchUp } from './catchup'
import { CopyButton } from './copy'
import { closePanel } from './focus'
import { PinsView } from './pins'
import { pathOf, type Panel } from './route'
import { SearchView } from './search'
import { beside, type Room } from './state'
import { ArrowLeft, Cross, Link } from './symbols'
import { t } from './texts'
import { ThreadView } from './thread'

export function SidePanel({ room, panel }: { room: Room; panel: Panel }) {
  if (panel.kind === 'search') return <Frame title={t('search')} about="">{<SearchView room={room} panel={panel} />}</Frame>
  if (panel.kind === 'pins') return <Frame title={t('pins')} about={t('threadIn', { room: room.title.value })}>{<PinsView key={room.name} room={room} />}</Frame>
  if (panel.kind === 'inbox') return <Frame title={t('catchUp')} about="">{<CatchUp />}</Frame>
  const thread = room.thread.value
  if (!thread) return null
  return (
    <Frame title={t('thread')} about={t('threadIn', { room: room.title.value })} link={<CopyButton label={t('copyThreadLink')} text={() => location.origin + pathOf({ room: room.name, panel })}><Link /></CopyButton>}>
      <ThreadView key={thread.key} thread={thread} />
    </Frame>
  )
}

/** The head of a panel, with what it is about, and its contents. */
function Frame({ title, about, link, children }: { title: string; about: string; link?: ComponentChildren; children: ComponentChildren }) {
  const label = t(beside.value ? 'close' : 'back')
  const close = (
    <button type="button" class="icon" aria-label={label} title={label} onClick={closePanel}>
      {beside.value ? <Cross /> : <ArrowLeft />}
    </button>
  )
  // In front of the room it is what the page is about.
  const Region = beside.value ? 'aside' : 'main'
  const Title = beside.value ? 'h2' : 'h1'
  return (
    <Region class="panel" id="panel" aria-labelledby="panel-title">
      <div class="panel-head">
        {!beside.value && close}
        <Title id="panel-title" class="panel-title" tabIndex={-1}>
          {title}
        </Title>
        <span class="quiet panel-about" dir="auto">
          {about}
        </span>
        {link}
        {beside.value && close}
      </div>
      {children}
    </Region>
  )
}
