-- The unique id of who called. Records of before have none.
ALTER TABLE audit ADD COLUMN principal_id TEXT NOT NULL DEFAULT '';
