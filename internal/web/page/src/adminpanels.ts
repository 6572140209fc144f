// What only admins and owners see. It is a file of its own, which adminpart.tsx loads.

export { People } from './adminpeople'
export { Hooks, Rooms } from './adminrooms'
export { Audit, ServerSettings } from './adminserver'
export { Retention } from './retention'
export { PushPanel, renew } from './pushpanel'
