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
