// The texts of what is shown beside a room: see texts.en.ts.

export const panels = {
  // Threads
  thread: 'Thread',
  threadIn: 'in {room}',
  openThread: 'Open thread',
  lastReply: 'last {day} at {time}',
  noReplies: 'No replies yet',
  noRepliesText: 'Whatever you write below answers this message. Everyone in the room sees it there, too.',
  olderReplies: 'Show earlier replies',
  repliesFailed: 'The replies could not be loaded.',
  threadMissing: 'This message is not available.',
  threadMissingText: 'It may have been removed, or be from before you came.',
  writeReply: 'Reply …',
  copyThreadLink: 'Copy link to this thread',
  back: 'Back',

  // Read again
  markUnread: 'Mark as unread from here',
  unreadFromHere: 'Unread from here',
  flagged: 'marked as unread',

  // Catching up
  catchUp: 'Catch up',
  unreadMentions_one: '{count} mention of you',
  unreadMentions_other: '{count} mentions of you',
  muted: 'muted',
  mentionsTitle: 'Mentions',
  newIn: 'New in rooms',
  mentionedEveryone: 'everyone',
  mentionedHere: 'everyone here',
  readNext: 'Read, and go on',
  readNextHelp: 'Marks this one as read, with all before it in its room, and goes to the next.',
  isRead: 'read',
  space: 'Space',
  caughtUp: 'You have seen everything',
  caughtUpText: 'New mentions and rooms with new messages appear here.',
  inboxFailed: 'Your mentions could not be loaded.',
  moreMentions: 'Show earlier mentions',
  keyCatchUp: 'Catch up with what is new',
}
