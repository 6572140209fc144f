-- Whom messages mention. Old messages have no rows: nobody looked for mentions in them.
CREATE TABLE mentions (
	account TEXT    NOT NULL, -- the id; '' for everyone and for those that were online
	place   INTEGER NOT NULL, -- of the message
	cause   INTEGER NOT NULL, -- 1: its name, 2: everyone, 3: those that were online
	user    INTEGER NOT NULL REFERENCES users (id), -- the author of the message
	time    INTEGER NOT NULL, -- of the message, or of the edit since which it mentions them
	online  TEXT    NOT NULL, -- of cause 3: the ids of the accounts, separated by spaces
	sum     INTEGER NOT NULL,
	PRIMARY KEY (account, place, cause)
) STRICT, WITHOUT ROWID;
-- An edit or a deletion changes those of a message.
CREATE INDEX mentions_of_message ON mentions (place);
-- They are forgotten after some time.
CREATE INDEX mentions_by_time ON mentions (time);
