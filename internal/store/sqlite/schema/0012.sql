-- What was deleted is noted in a ledger elsewhere.

-- Messages that were deleted and are not in the ledger yet.
CREATE TABLE unledgered (
	place INTEGER PRIMARY KEY, -- of the message
	sum   INTEGER NOT NULL
) STRICT;
