-- Runs of changes of messages (edits, deletions, reactions, pins) without any other entry between
-- them, from some length on. A page of history passes over them in one step.
CREATE TABLE runs (
	place INTEGER PRIMARY KEY, -- of the first change; it may have been cut by now
	last  INTEGER NOT NULL,    -- the place of the last one
	sum   INTEGER NOT NULL
) STRICT;
