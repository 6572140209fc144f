-- What later entries have made of messages. The entries themselves stay, but the text of
-- a message is the one of its last edit, an edit has none, and a deleted message has none.

-- Messages that were edited, deleted, pinned or answered. A seq of 0 is never.
CREATE TABLE states (
	place        INTEGER PRIMARY KEY, -- of the message
	edited       INTEGER NOT NULL,    -- the seq of the last edit
	edited_time  INTEGER NOT NULL,
	deleted      INTEGER NOT NULL,
	deleted_time INTEGER NOT NULL,
	pinned       INTEGER NOT NULL,
	pinned_time  INTEGER NOT NULL,
	replies      INTEGER NOT NULL,    -- messages that answer it
	sum          INTEGER NOT NULL
) STRICT;

-- The reactions that are there now.
CREATE TABLE reactions (
	place    INTEGER NOT NULL, -- of the message
	emoji    TEXT    NOT NULL,
	user     INTEGER NOT NULL REFERENCES users (id),
	username TEXT,             -- NULL: as in users
	seq      INTEGER NOT NULL, -- of the entry that added it
	time     INTEGER NOT NULL,
	sum      INTEGER NOT NULL,
	PRIMARY KEY (place, emoji, user)
) STRICT, WITHOUT ROWID;

-- Hashes of the texts that were appended and are not in entries any more, so that whoever
-- sends one again with its id is told that it is there. They go with a deletion.
CREATE TABLE originals (
	place INTEGER PRIMARY KEY, -- of a message that was edited, or of an edit
	hash  BLOB    NOT NULL,    -- a key, and the hash with this key
	older INTEGER NOT NULL,    -- of an edit: the seq of the edit of the same message before it, or 0
	sum   INTEGER NOT NULL
) STRICT;

-- The kind is in the index of what is no message, too, to count changes of messages.
DROP INDEX no_messages;
CREATE INDEX no_messages ON entries (place, user, kind) WHERE kind <> 1;
-- The messages that answer one.
CREATE INDEX replies ON entries (place >> 40, target) WHERE kind = 1 AND target <> 0;
