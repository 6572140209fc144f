// Panels that are rarely opened: those of admins and owners, and that of pushes, which everybody has.
// They are a file of their own, which adminpart.tsx loads.

export { People } from './adminpeople'
export { Hooks, Rooms } from './adminrooms'
export { Audit, ServerSettings } from './adminserver'
export { Retention } from './retention'
export { PushPanel, renew } from './pushpanel'
