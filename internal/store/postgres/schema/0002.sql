-- The name of an author of what was cut, as it was then. It is NULL if nothing of the author was cut.
ALTER TABLE counts ADD COLUMN username text COLLATE "C";
ALTER TABLE counts ALTER username SET STATISTICS 0;

-- The note about a move of everything to or from another store. Without a row there is none, or it
-- is over.
CREATE TABLE move (
	id    smallint PRIMARY KEY CHECK (id = 1),
	role  text     NOT NULL, -- source, target, or left: everything is elsewhere
	run   text     NOT NULL, -- the same on both sides
	other text     NOT NULL  -- the other side, for people
);
