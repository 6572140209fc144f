-- How many messages (kind 1) there are, so that those that somebody has not read need not be
-- counted one by one. Both are counted when messages are merged.

-- Of a room, up to its head here. The checksum covers it only if it is not 0.
ALTER TABLE rooms ADD COLUMN messages INTEGER NOT NULL DEFAULT 0;

-- Of an author in a room.
CREATE TABLE written (
	room     INTEGER NOT NULL,
	user     INTEGER NOT NULL,
	messages INTEGER NOT NULL,
	last     INTEGER NOT NULL, -- the seq up to which they are counted
	sum      INTEGER NOT NULL,
	PRIMARY KEY (room, user)
) STRICT, WITHOUT ROWID;
