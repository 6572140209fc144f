-- The front of a log that was cut: entries that are not kept any more.

-- Of a room: the seq up to which nothing is kept, and how many messages there were. The
-- checksum covers both only if the first is not 0.
ALTER TABLE rooms ADD COLUMN cut INTEGER NOT NULL DEFAULT 0;
ALTER TABLE rooms ADD COLUMN cut_messages INTEGER NOT NULL DEFAULT 0;

-- Of an author in a room: how many of the messages were cut, and the seq up to which that was
-- counted. The checksum covers both only if the second is not 0.
ALTER TABLE written ADD COLUMN cut_messages INTEGER NOT NULL DEFAULT 0;
ALTER TABLE written ADD COLUMN cut INTEGER NOT NULL DEFAULT 0;
