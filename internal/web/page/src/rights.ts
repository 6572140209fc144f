// What the user may do, so that the page offers nothing else. The server decides; this
// is the same table (docs/permissions.md), as far as the page knows the facts. A test
// compares the two.

import type { Account, Flag, Role, RoomKind, RoomRole } from './protocol'

export type Action =
  | 'send'
  | 'react'
  /** One's own message. */
  | 'edit'
  | 'delete'
  | 'deleteOther'
  | 'pin'
  | 'join'
  | 'topic'
  | 'invite'
  | 'kick'
  | 'ban'
  | 'mute'
  | 'role'
  | 'flags'
  | 'history'
  | 'private'
  | 'archive'
  | 'unarchive'

/** What decides about a room. */
export interface Facts {
  /** Undefined for visitors. */
  server: Role | undefined
  kind: RoomKind
  member: boolean
  role: RoomRole
  flags: readonly Flag[]
}

/** Whether somebody may do something in a room. */
export function may(action: Action, { server, kind, member, role, flags }: Facts): boolean {
  const admin = server === 'admin' || server === 'owner'
  // Admins are ops of public rooms, whether or not they are in them.
  const op = kind !== 'direct' && ((member && role === 'op') || (kind === 'public' && admin))
  const archived = flags.includes('archived')
  const announce = flags.includes('announce')
  if (action === 'unarchive') return archived && op
  if (action === 'deleteOther' || (action === 'delete' && op)) return op
  if (archived) return false
  switch (action) {
    case 'join':
      return kind === 'public' && !member && server !== 'guest'
    case 'react':
      return member
    case 'delete':
      return member || (kind === 'public' && server !== 'guest')
    case 'pin':
      return op || (member && (kind === 'direct' || (server !== undefined && server !== 'guest' && !announce && !flags.includes('locked'))))
    case 'send':
    case 'edit':
      return member && (kind === 'direct' || !announce || role !== 'member' || op)
    case 'topic':
      if (kind === 'direct') return member && server !== undefined
      return op || (member && server !== undefined && server !== 'guest' && !announce && !flags.includes('locked'))
    case 'invite':
      return op || (kind === 'public' && server !== undefined && server !== 'guest')
    case 'private':
      return op && kind === 'public'
    case 'history':
      return op && kind === 'private'
    default:
      return op
  }
}

const ranks: Record<Role, number> = { guest: 0, member: 1, admin: 2, owner: 3 }

/** Whether an account has at least a role on the server. */
export const atLeast = (account: Account | undefined, role: Role): boolean => account !== undefined && ranks[account.role] >= ranks[role]

/** Whether somebody may make a room; undefined for a visitor. What the server has not said yet counts as usual. */
export function mayCreate(role: Role | undefined, kind: 'public' | 'private', server: { access: string; create_rooms?: Role } | undefined): boolean {
  if (role === undefined) return kind === 'public' && (!server || server.access === 'open')
  return ranks[role] >= ranks[kind === 'public' ? (server?.create_rooms ?? 'member') : 'member']
}

/** Whether an account may administer another one: those below, and an owner everybody. */
export const above = (account: Account | undefined, role: Role): boolean =>
  account !== undefined && (account.role === 'owner' || (ranks[account.role] >= ranks.admin && ranks[account.role] > ranks[role]))
