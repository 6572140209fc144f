-- What is appended goes to the journal first, a row for each transaction, and
-- is merged into entries later, a room at a time: entries and its index then
-- change a page for many messages, where they changed two for each. A room's
-- head in rooms is that of its entries in their place; what the journal has up
-- to there is merged already, and a row goes when all of it is.

INSERT INTO entries (place, time, kind, user, username, id, content)
	SELECT place, time, kind, user, username, id, content FROM recent ORDER BY place;
UPDATE rooms SET head = r.head
	FROM (SELECT place >> 40 AS room, max(place) & 0xFFFFFFFFFF AS head FROM recent GROUP BY 1) r WHERE rooms.id = r.room;
DROP VIEW log;
DROP TABLE recent;

CREATE TABLE journal (
	batch   INTEGER PRIMARY KEY, -- in the order in which they came
	time    INTEGER NOT NULL,    -- of all of them
	entries TEXT    NOT NULL     -- JSON: [{"place", "kind", "user", "username" if it is not as in users, "id", "content"}, …]
) STRICT;

-- What is in the journal only.
CREATE VIEW recent (batch, place, time, kind, user, username, id, content) AS
	SELECT j.batch, x.value ->> 'place', j.time, x.value ->> 'kind', x.value ->> 'user', x.value ->> 'username', x.value ->> 'id', x.value ->> 'content'
	FROM journal j CROSS JOIN json_each(j.entries) x LEFT JOIN rooms m ON m.id = (x.value ->> 'place') >> 40
	WHERE (x.value ->> 'place') & 0xFFFFFFFFFF > coalesce(m.head, 0);

CREATE VIEW log (room, seq, time, username, content) AS
	SELECT r.name, e.place & 0xFFFFFFFFFF, datetime(e.time / 1000, 'unixepoch'), coalesce(e.username, u.name), e.content
	FROM (SELECT place, time, user, username, content FROM entries
		UNION ALL SELECT place, time, user, username, content FROM recent) e
	JOIN users u ON u.id = e.user JOIN rooms r ON r.id = e.place >> 40;
