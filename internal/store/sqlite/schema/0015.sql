-- The files of a message: a text in JSON that nothing here reads; NULL if there are none. The
-- checksum covers it only then if there are any. A deletion takes it away with the content.
ALTER TABLE entries ADD COLUMN files TEXT;
