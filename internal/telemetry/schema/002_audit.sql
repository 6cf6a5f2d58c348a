-- What a refused caller was told, and the order of what was done in all regions.
ALTER TABLE audit ADD COLUMN error_message TEXT NOT NULL DEFAULT '';

CREATE INDEX audit_account ON audit (account, time, id);
