-- Texts that were deleted or replaced are erased from all files.

-- The one row about that.
CREATE TABLE erasing (
	id   INTEGER PRIMARY KEY CHECK (id = 1),
	due  INTEGER NOT NULL, -- the newest batch that was merged and has taken a text away
	done INTEGER NOT NULL, -- what the batches up to this one have taken away is in no file
	swept INTEGER NOT NULL, -- 1: the file has nothing of former rows
	sum  INTEGER NOT NULL
) STRICT;
