-- When the operator had the next change of the timeline keep the epoch. An old wish holds no longer.
ALTER TABLE store ADD COLUMN kept timestamptz;
