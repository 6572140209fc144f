-- State beside the logs, such as accounts and memberships. What the keys and values
-- mean is decided elsewhere.
CREATE TABLE documents (
	key   TEXT    PRIMARY KEY,
	value BLOB    NOT NULL,
	sum   INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- How often the rights in the room have changed. The checksum covers it only if it is
-- not 0.
ALTER TABLE rooms ADD COLUMN revision INTEGER NOT NULL DEFAULT 0;

-- An id is unique per room and author, where it was unique per author. A constraint of
-- a table cannot change, so the table is made anew.
DROP VIEW log;
ALTER TABLE entries RENAME TO old_entries;
CREATE TABLE entries (
	place    INTEGER PRIMARY KEY, -- room << 40 | seq
	time     INTEGER NOT NULL,
	kind     INTEGER NOT NULL,
	user     INTEGER NOT NULL REFERENCES users (id),
	username TEXT,             -- NULL: as in users
	id       TEXT    NOT NULL, -- chosen by the author, once for each message in a room
	content  TEXT    NOT NULL,
	target   INTEGER NOT NULL,
	sum      INTEGER NOT NULL
) STRICT;
INSERT INTO entries (place, time, kind, user, username, id, content, target, sum)
	SELECT place, time, kind, user, username, id, content, target, sum FROM old_entries ORDER BY place;
DROP TABLE old_entries;
-- The users of a room before their ids: what one user says in a room is together.
CREATE UNIQUE INDEX ids ON entries (place >> 40, user, id);
-- What is not a message (kind 1) is not counted as unread; there is little of it.
CREATE INDEX no_messages ON entries (place, user) WHERE kind <> 1;

CREATE VIEW log (room, seq, time, username, content) AS
	SELECT r.name, e.place & 0xFFFFFFFFFF, datetime(e.time / 1000, 'unixepoch'), coalesce(e.username, u.name), e.content
	FROM (SELECT place, time, user, username, content FROM entries
		UNION ALL SELECT place, time, user, username, content FROM recent) e
	JOIN users u ON u.id = e.user JOIN rooms r ON r.id = e.place >> 40;
