// Panels that are rarely opened: those of admins and owners, and those of pushes, credentials, devices, tokens and invites.
// They are a file of their own, which adminpart.tsx loads.

export { Devices } from './devices'
export { Invites } from './invites'
export { Security } from './security'
export { Tokens } from './tokens'
export { People } from './adminpeople'
export { Hooks, Rooms } from './adminrooms'
export { Audit, ServerSettings } from './adminserver'
export { NotificationsOfAccount } from './notifications'
export { Retention } from './retention'
export { PushPanel, renew } from './pushpanel'
