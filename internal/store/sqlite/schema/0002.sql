-- What is appended goes to the end of this table first, whatever its room and
-- author, and is merged into entries by the hundreds: a commit then changes
-- one page or two, where entries and its index change two for each message.
-- A room's newest entries are here; its head in rooms is that of its entries
-- until they are merged.
CREATE TABLE recent (
	n        INTEGER PRIMARY KEY, -- the order in which they came
	place    INTEGER NOT NULL,
	time     INTEGER NOT NULL,
	kind     INTEGER NOT NULL,
	user     INTEGER NOT NULL, -- of users; the reference is checked when it is merged, which is cheaper
	username TEXT,
	id       TEXT    NOT NULL,
	content  TEXT    NOT NULL
) STRICT;

DROP VIEW log;
CREATE VIEW log (room, seq, time, username, content) AS
	SELECT r.name, e.place & 0xFFFFFFFFFF, datetime(e.time / 1000, 'unixepoch'), coalesce(e.username, u.name), e.content
	FROM (SELECT place, time, user, username, content FROM entries
		UNION ALL SELECT place, time, user, username, content FROM recent) e
	JOIN users u ON u.id = e.user JOIN rooms r ON r.id = e.place >> 40;
