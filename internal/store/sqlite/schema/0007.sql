-- Most batches are in the journal first, files beside the database (package journal),
-- and only those that change something else as well are in a table: unmerged, which was
-- called journal. What is in either is merged into entries later.

DROP VIEW log;
DROP VIEW recent;
ALTER TABLE journal RENAME TO unmerged;

-- The one row about the journal, written with everything that is merged or in unmerged.
CREATE TABLE progress (
	id     INTEGER PRIMARY KEY CHECK (id = 1),
	salt   BLOB    NOT NULL, -- of the segment that was the newest; empty if there was none
	closed INTEGER NOT NULL, -- 1: everything was merged, and there is no journal any more
	merged INTEGER NOT NULL, -- the batches of the journal up to this one are merged
	batch  INTEGER NOT NULL, -- the newest batch, in the journal or not
	last   INTEGER NOT NULL, -- the newest batch in the journal
	sum    INTEGER NOT NULL
) STRICT;

-- For people who look into the file. The newest messages may be in the journal only.
CREATE VIEW log (room, seq, time, username, content) AS
	SELECT r.name, e.place & 0xFFFFFFFFFF, datetime(e.time / 1000, 'unixepoch'), coalesce(e.username, u.name), e.content
	FROM entries e JOIN users u ON u.id = e.user JOIN rooms r ON r.id = e.place >> 40;
