// The members of a room, on the right.

import { useMemo } from 'preact/hooks'
import { closeDrawer, openDialog } from './focus'
import { Avatar, Called, nickClass } from './nick'
import type { Member } from './protocol'
import { account, drawer, username, type Room } from './state'
import { Cross } from './symbols'
import { t } from './texts'

/** More members than this are counted, not listed. */
const mostShown = 300

/** Whoever reads this is here. */
const isHere = (member: Member) => member.online || member.username === username.value

export function MemberList({ room }: { room: Room }) {
  const members = room.members.value ?? []
  // Those who are here come first.
  const shown = useMemo(() => [...members.filter(isHere), ...members.filter((m) => !isHere(m))].slice(0, mostShown), [members])
  const total = Math.max(room.memberCount.value, members.length)
  const others = total - shown.length
  return (
    <aside class={drawer.value === 'members' ? 'side members-side open' : 'side members-side'} aria-label={t('members')} id="members">
      <div class="side-title">
        <h2>
          {t('members')} <span class="number">{total}</span>
        </h2>
        <button type="button" class="icon not-wide" aria-label={t('close')} onClick={closeDrawer}>
          <Cross />
        </button>
      </div>
      <ul class="member-list" tabIndex={0} aria-label={t('members')}>
        {shown.map((member) => (
          <Row key={member.username} member={member} names={room.names.value} />
        ))}
        {members.length === 1 && others === 0 && <li class="quiet alone">{t(account.value ? 'aloneHere' : 'alone')}</li>}
        {others > 0 && <li class="quiet">{t('moreMembers', { count: others })}</li>}
      </ul>
    </aside>
  )
}

function Row({ member, names }: { member: Member; names: Map<string, string> }) {
  const { username: name } = member
  const here = isHere(member)
  const inside = (
    <>
      <Avatar username={name} small here={here} />
      <bdi class={`member ${nickClass(name)}`}>
        {name}
      </bdi>
      <Called name={names.get(name)} />
      {member.role !== 'member' && <span class="badge">{t(member.role)}</span>}
      {member.bot && <span class="badge">{t('bot')}</span>}
      {name === username.value && <span class="quiet">{t('you')}</span>}
      {!(here && member.away) && <span class="hidden">{t(here ? 'onlineNow' : 'offlineNow')}</span>}
      {here && member.away && <span class="badge">{t('awayNow')}</span>}
      {member.status && (
        <span class="quiet status" title={member.status} dir="auto">
          {member.status}
        </span>
      )}
    </>
  )
  const away = here && !member.away ? undefined : 'away'
  // Visitors have no menu: there is nothing that they may do.
  if (!account.value) return <li class={away}>{inside}</li>
  return (
    <li class={away}>
      <button type="button" aria-haspopup="dialog" onClick={() => openDialog('member', name)}>
        {inside}
      </button>
    </li>
  )
}
