-- Ids of changes of messages that made no difference, such as a reaction that was there
-- already. Nothing was appended, and a repeat is answered as the first was.
CREATE TABLE noops (
	room    INTEGER NOT NULL,
	user    INTEGER NOT NULL REFERENCES users (id),
	id      TEXT    NOT NULL,
	seq     INTEGER NOT NULL, -- of the entry since which the message is like that
	time    INTEGER NOT NULL, -- of that entry
	kind    INTEGER NOT NULL,
	target  INTEGER NOT NULL,
	content TEXT    NOT NULL,
	sum     INTEGER NOT NULL,
	PRIMARY KEY (room, user, id)
) STRICT, WITHOUT ROWID;

-- Finds those of the messages that retention cuts.
CREATE INDEX noop_targets ON noops (room, target);
