-- A user is an author: the key is the id of the identity. All authors so far are
-- visitors, whose id is "visitor:" and the folded name. The checksums of users
-- are computed anew in the same transaction.
UPDATE users SET key = 'visitor:' || key;

-- The sequence number of the entry that this one is about, in the same room; 0 if
-- it is about none. The checksum covers it only if it is not 0.
ALTER TABLE entries ADD COLUMN target INTEGER NOT NULL DEFAULT 0;
