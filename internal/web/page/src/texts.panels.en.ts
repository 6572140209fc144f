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
}
