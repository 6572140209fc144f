// What only admins read, in English: it is loaded when they open a panel that only they have. texts.ts lists the file of each language.

/** A setting of the server: its name, and what more there is to know. */
export interface About {
  label: string
  help: string
}

/** What is said in panels. */
const panels = {
  hookPaused: 'paused',
  noHooks: 'There are no webhooks yet.',
  setMembers: 'Members and admins',
  setAdmins: 'Admins only',
  setYes: 'Yes',
  setNo: 'No',
  setOnServer: 'Only a command on the server changes it:',
  addPerson: 'Add a person',
  removed: 'removed',
  suspend: 'Suspend',
  restore: 'Restore',
  resetLink: 'Make a sign-in link',
  resetText: 'Sign-in link for {name}, works once',
  removeAccount: 'Remove the account',
  morePeople: 'There are more: search for a name.',
  auditSubject: 'Whom it concerns',
  allRoomsText: 'All public and private rooms. What is said in a private room stays among its members.',
  fromBeginning: 'From the beginning',
  nextPage: 'More rooms',
  appoint: 'Make somebody op',
  appointWhom: 'A member of the room',
  appointed: '{name} is op now. The members see who did it.',
  hooksText: 'Programs post to a room by sending messages to the address of its webhook.',
  newHook: 'New webhook',
  hookRoom: 'Room',
  hookName: 'Name to post as (optional)',
  hookOnce: 'The address of the webhook, shown only now',
  makeHook: 'Make the webhook',
}

export type PanelText = keyof typeof panels

export interface AdminTexts {
  /** In place of the actor of a row that has none. */
  operator: string
  somebody: string
  /** The heading above the settings of single sign-on. */
  signOn: string
  panels: Record<PanelText, string>
  /** By the action of a row, what follows the name of whoever did it, with {subject} and {room}. */
  actions: Record<string, string>
  /** By key. */
  settings: Record<string, About>
}

export const texts: AdminTexts = {
  operator: 'The operator',
  somebody: 'Somebody',
  signOn: 'Single sign-on',
  panels,
  actions: {
    'account.add': 'created the account {subject}',
    'account.erase': 'erased the account {subject}',
    'account.link': 'attributed what a visitor wrote to {subject}',
    'account.name': 'changed the display name of {subject}',
    'account.notifications': 'changed notifications or status',
    'account.owner': 'made {subject} an owner',
    'account.remove': 'removed the account {subject}',
    'account.reset': 'took away how {subject} signs in, and made a sign-in link',
    'account.restore': 'ended the suspension of {subject}',
    'account.role': 'changed the role of {subject}',
    'account.suspend': 'suspended {subject}',
    'block.add': 'blocked somebody',
    'block.remove': 'unblocked somebody',
    'bot.add': 'created the bot {subject}',
    'bot.give': 'gave the bot {subject} to another owner',
    'device.add': 'signed in on a device',
    'device.confirm': 'signed in again to confirm something',
    'device.rename': 'renamed a device',
    'device.revoke': 'signed out a device',
    'export.person': 'exported the data of {subject}',
    'export.rooms': 'exported private or direct rooms',
    'grant.approve': 'let a device in by its code',
    'grant.deny': 'refused a device by its code',
    'hook.add': 'created a webhook',
    'hook.remove': 'removed a webhook',
    'identity.link': 'linked {subject} to single sign-on',
    'identity.unlink': 'unlinked {subject} from single sign-on',
    'invite.add': 'made an invite link',
    'invite.revoke': 'revoked an invite link',
    'passkey.add': 'added a passkey',
    'passkey.copied': 'used a passkey that may be a copy',
    'passkey.remove': 'removed a passkey',
    'passkey.rename': 'renamed a passkey',
    'password.remove': 'removed a password',
    'password.set': 'chose a new password',
    'recovery.set': 'made new recovery codes',
    'room.appoint': 'made {subject} op of {room} without being in it',
    'room.ban': 'banned {subject} from {room}',
    'room.create': 'created {room} in the name of {subject}',
    'room.kick': 'removed {subject} from {room}',
    'room.mute': 'muted {subject} in {room}',
    'room.retention': 'changed how long messages are kept in {subject}',
    'room.role': 'changed the role of {subject} in {room}',
    'room.set': 'changed the settings of {room}',
    'room.unban': 'lifted the ban of {subject} from {room}',
    'room.unmute': 'unmuted {subject} in {room}',
    'server.claim': 'set up the server',
    'setting.set': 'changed the server’s setting {subject}',
    'sign_in.failed': 'failed to sign in as {subject}',
    'token.add': 'made a token for {subject}',
    'token.revoke': 'revoked a token',
  },
  settings: {
    access: { label: 'Who may come in?', help: 'Whoever is here stays. In the terminal the setting is “access”.' },
    create_rooms: { label: 'Who creates public rooms?', help: 'Members create private rooms in any case.' },
    invite_members: { label: 'Who invites people to the server?', help: 'With a link that makes an account.' },
    auto_join: { label: 'Rooms that new members join', help: 'Beside the lobby, separated by commas.' },
    retention: { label: 'How long are messages kept?', help: 'Forever, or days such as 90d. What is older is deleted for good, in all rooms without a retention of their own.' },
    'oidc.issuer': { label: 'Address of the OpenID provider', help: 'Starts with https. Empty means no single sign-on.' },
    'oidc.client_id': { label: 'Client ID', help: 'The ID of this server at the provider.' },
    'oidc.client_secret_file': { label: 'File with the client secret', help: 'A path on the computer of the server. The secret itself is never stored here.' },
    'oidc.name': { label: 'Text of the button', help: 'People choose this button to sign in at the provider.' },
    'oidc.scopes': { label: 'Scopes', help: 'Asked of the provider, separated by spaces.' },
    'oidc.subject_claim': { label: 'Claim that identifies a person', help: 'The provider must never give its value to somebody else.' },
    'oidc.username_claim': { label: 'Claim with the username', help: 'A new account gets its name from it.' },
    'oidc.link_by_email': { label: 'Does an e-mail address find the account?', help: 'Only an address that the provider has verified.' },
    'oidc.create': { label: 'Does somebody new get an account?', help: 'Otherwise, only people with an account sign in at the provider.' },
    'oidc.groups_claim': { label: 'Claim with the groups', help: 'The groups of a person at the provider.' },
    'oidc.groups': { label: 'What groups give', help: 'Roles and rooms, such as staff=member,admins=admin,dev=#backend.' },
    'oidc.max_age': { label: 'Time until the next sign-in at the provider', help: 'Such as 12h or 7d.' },
  },
}
