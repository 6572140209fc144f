-- A database of schema 1 with content, as it was when schema 1 was released.
BEGIN;
PRAGMA application_id = 1801544302;
CREATE TABLE store (
	id      INTEGER PRIMARY KEY CHECK (id = 1),
	epoch   TEXT    NOT NULL,
	created INTEGER NOT NULL
) STRICT;
INSERT INTO store VALUES (1, 'EPOCHOFTHEFIRSTSCHEMA', 1700000000000);
CREATE TABLE rooms (
	id   INTEGER PRIMARY KEY,
	key  TEXT    NOT NULL UNIQUE,
	name TEXT    NOT NULL,
	head INTEGER NOT NULL
) STRICT;
INSERT INTO rooms VALUES (1, 'lobby', 'lobby', 3);
CREATE TABLE users (
	id   INTEGER PRIMARY KEY,
	key  TEXT    NOT NULL UNIQUE,
	name TEXT    NOT NULL
) STRICT;
INSERT INTO users VALUES (1, 'alice', 'Alice'), (2, 'bob', 'bob');
CREATE TABLE entries (
	place    INTEGER PRIMARY KEY,
	time     INTEGER NOT NULL,
	kind     INTEGER NOT NULL,
	user     INTEGER NOT NULL REFERENCES users (id),
	username TEXT,
	id       TEXT    NOT NULL,
	content  TEXT    NOT NULL,
	UNIQUE (user, id)
) STRICT;
INSERT INTO entries VALUES
	(1099511627777, 1700000000001, 1, 1, NULL, 'a-1', 'hello'),
	(1099511627778, 1700000000002, 1, 2, NULL, 'b-1', 'it''s' || char(10) || 'two lines'),
	(1099511627779, 1700000000003, 1, 1, 'alice', 'a-2', 'written otherwise');
CREATE VIEW log (room, seq, time, username, content) AS
	SELECT r.name, e.place & 0xFFFFFFFFFF, datetime(e.time / 1000, 'unixepoch'), coalesce(e.username, u.name), e.content
	FROM entries e JOIN users u ON u.id = e.user JOIN rooms r ON r.id = e.place >> 40;
PRAGMA user_version = 1;
COMMIT;
