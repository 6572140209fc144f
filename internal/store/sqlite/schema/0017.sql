-- A row has many people that reacted to a message with one emoji, because most reactions to a
-- message come together, and what a row costs hardly depends on its length. The rows of
-- single_reactions are moved there, and then the table goes.
ALTER TABLE reactions RENAME TO single_reactions;
CREATE TABLE reactions (
	place  INTEGER NOT NULL, -- of the message
	emoji  TEXT    NOT NULL,
	first  INTEGER NOT NULL, -- the seq of the first that was written here; further people are in a row behind it
	people BLOB    NOT NULL, -- see reaction.go
	sum    INTEGER NOT NULL,
	PRIMARY KEY (place, emoji, first)
) STRICT, WITHOUT ROWID;
