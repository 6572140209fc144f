-- The first schema. A schema that was released never changes: what comes later
-- is the next file. Times are milliseconds since 1970 UTC.

-- The one row about the database itself.
CREATE TABLE store (
	id      INTEGER PRIMARY KEY CHECK (id = 1),
	epoch   TEXT    NOT NULL,
	created INTEGER NOT NULL
) STRICT;

-- The key is the folded name: equal keys are the same room, or the same user.
-- The name is the first that was used.
CREATE TABLE rooms (
	id   INTEGER PRIMARY KEY,
	key  TEXT    NOT NULL UNIQUE,
	name TEXT    NOT NULL,
	head INTEGER NOT NULL
) STRICT;

CREATE TABLE users (
	id   INTEGER PRIMARY KEY,
	key  TEXT    NOT NULL UNIQUE,
	name TEXT    NOT NULL
) STRICT;

-- The logs of all rooms. The place is room << 40 | seq, so that a page of a
-- room is one run of one tree.
CREATE TABLE entries (
	place    INTEGER PRIMARY KEY,
	time     INTEGER NOT NULL,
	kind     INTEGER NOT NULL,
	user     INTEGER NOT NULL REFERENCES users (id),
	username TEXT,             -- NULL: as in users
	id       TEXT    NOT NULL, -- chosen by the author, once for each message
	content  TEXT    NOT NULL,
	UNIQUE (user, id)
) STRICT;

-- For people who look into the file.
CREATE VIEW log (room, seq, time, username, content) AS
	SELECT r.name, e.place & 0xFFFFFFFFFF, datetime(e.time / 1000, 'unixepoch'), coalesce(e.username, u.name), e.content
	FROM entries e JOIN users u ON u.id = e.user JOIN rooms r ON r.id = e.place >> 40;
