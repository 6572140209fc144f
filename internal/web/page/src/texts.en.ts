// Every word of the page in English. To translate: copy this file, translate the
// right side, keep {what is in braces}, and add it to `languages` in texts.ts.
// Keys that end in _one and _other are for one and for any other number; a
// language with more forms (see Intl.PluralRules) adds _few, _many and so on.

export const en = {
  // Joining
  welcome: 'Welcome to Kaban',
  welcomeText: 'Say who you are, and you are in. There is nothing to sign up for.',
  yourName: 'Your name',
  nameHelp: 'Up to {max} letters, digits and _ - .',
  join: 'Join',
  joining: 'Joining …',

  // The list of rooms
  rooms: 'Rooms',
  roomsNav: 'Rooms',
  unread_one: '{count} unread message',
  unread_other: '{count} unread messages',
  unreadMention: 'you are mentioned',
  draft: 'draft',
  addRoom: 'Join or make a room',
  leaveRoom: 'Leave {room}',
  findRoom: 'Go to a room …',
  openRooms: 'Show rooms',
  openMembers: 'Show members',
  closePanel: 'Close',
  settings: 'Settings',
  you: 'you',

  // A room
  members: 'Members',
  members_one: '{count} member',
  members_other: '{count} members',
  moreMembers: 'and {count} more',
  messages: 'Messages in {room}',
  beginning: 'This is where {room} begins.',
  beginningKept: 'Older messages are not kept.',
  empty: 'Nothing has been said here yet. Be the first!',
  loading: 'Loading …',
  loadFailed: 'Older messages could not be loaded.',
  tryAgain: 'Try again',
  newMessages: 'New',
  jump: 'Jump to the newest',
  jump_one: '{count} new message',
  jump_other: '{count} new messages',
  link: '{time}, link to this message',
  today: 'Today',
  yesterday: 'Yesterday',
  said: '{name}: {content}',
  showAll: 'Show all of it',
  showLess: 'Show less',
  gap: 'Some messages are missing here: the server does not have them any more.',

  // Sending
  write: 'Message to {room}',
  send: 'Send',
  sending: 'sending',
  waitingToSend: 'waits to be sent',
  notSent: 'Not sent: {reason}',
  retry: 'Try again',
  discard: 'Discard',
  tooLong_one: '{count} character too long',
  tooLong_other: '{count} characters too long',
  left_one: '{count} character left',
  left_other: '{count} characters left',

  // The connection
  connecting: 'Connecting …',
  reconnecting: 'The connection was lost. Reconnecting; what you write is kept and sent then.',
  offline: 'You are offline. What you write is kept and sent when you are back.',
  catchingUp: 'Loading what you have missed …',
  replacedTitle: 'Kaban is open somewhere else',
  replacedText: 'Your name is in use in another tab or window of this browser.',
  useHere: 'Use it here',

  // Search
  search: 'Search',
  searchLabel: 'Search the loaded messages',
  searchHint_one: 'Searches the {count} message of this room that is loaded; scroll up to load more.',
  searchHint_other: 'Searches the {count} messages of this room that are loaded; scroll up to load more.',
  results_one: '{count} message found',
  results_other: '{count} messages found',
  resultsMany: 'The newest {count} are shown.',
  close: 'Close',

  // The switcher
  switcher: 'Go to a room',
  switcherLabel: 'Name of a room',
  makeRoom: 'Make the room {room}',
  missing: 'There is no room {room}',
  missingText: 'Perhaps its name is mistyped. A room that is made stays, and everybody sees it.',
  goBack: 'Go to {room}',
  noRooms: 'No room is called so.',

  // The keys
  keys: 'Keyboard',
  keySwitch: 'Go to a room',
  keyPrevious: 'Room above, room below',
  keyUnread: 'Unread room above, below',
  keySearch: 'Search the loaded messages',
  keySend: 'Send',
  keyNewline: 'New line',
  keyComplete: 'Complete a @name',
  keyNewest: 'To the newest message',
  keyScroll: 'Scroll the messages from the input',
  keyHelp: 'This list',
  keyClose: 'Close, or back to the input',
  or: 'or',

  // Settings
  notifications: 'Notifications',
  notificationsHelp: 'While you do not look at this page.',
  notifyNever: 'Never',
  notifyMentions: 'When I am mentioned with @{name}',
  notifyAll: 'For every message',
  notifyDenied: 'The browser does not allow notifications from this page. You can change that in the settings of the browser.',
  notifyUnsupported: 'This browser shows notifications only for pages that come over HTTPS, or not at all.',
  language: 'Language',
  signOut: 'Use another name',
  formatting: 'Formatting',
  formattingHelp: '**bold**, *italic*, ~~gone~~, `code`, ``` for a block of code, > for a quote, - for a list.',

  // Errors, by their code in the protocol
  err_empty_username: 'Please say a name.',
  err_too_long_username: 'This name has {actual} characters; {max} are possible.',
  err_invalid_chars_username: 'A name can have letters, digits and _ - . only, and must not end with a dot.',
  err_other_name: 'You said this under another name, and it may be stored under that one.',
  err_username_taken: 'Somebody here has this name, or one that looks like it. Please take another.',
  err_empty_content: 'there is nothing in it',
  err_too_long_content: 'it has {actual} characters, {max} are possible',
  err_invalid_chars_content: 'it has a character that messages cannot have',
  err_bad_room: 'A room’s name can have up to 64 letters, digits and _ - . only.',
  err_server_full: 'The server is full at the moment.',
  err_rate_limited: 'That was too much for the server. Please wait a moment.',
  err_storage_full: 'the server’s disk is full; it will be tried again',
  err_unavailable: 'the server is going down; it will be tried again',
  err_internal: 'the server has failed; it will be tried again',
  err_no_message: 'There is no such message.',
  err_replaced_server: 'The server has other messages than before, so the page was loaded anew.',
  err_other: 'The server says: {message}',
}

export type Texts = Record<keyof typeof en, string>
