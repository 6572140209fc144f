-- Every row has a checksum of what it says (sum.go), written with it and compared
-- whenever the row is read, so that a bit that has flipped on the disk is an error
-- and never another text. The sum of an entry is of the username that readers are
-- given, also where that stands in users only. What is there already is summed in
-- the same transaction; 0 stands only until then.

ALTER TABLE store ADD COLUMN sum INTEGER NOT NULL DEFAULT 0;
ALTER TABLE rooms ADD COLUMN sum INTEGER NOT NULL DEFAULT 0;
ALTER TABLE users ADD COLUMN sum INTEGER NOT NULL DEFAULT 0;
ALTER TABLE entries ADD COLUMN sum INTEGER NOT NULL DEFAULT 0;
ALTER TABLE journal ADD COLUMN sum INTEGER NOT NULL DEFAULT 0;
