-- +goose Up

-- The most that a batch may be charged, and a key's batches and lookups in a
-- calendar month. 0: no cap.
ALTER TABLE batches ADD COLUMN max_credits BIGINT NOT NULL DEFAULT 0 CHECK (max_credits >= 0);
ALTER TABLE api_keys ADD COLUMN monthly_cap BIGINT NOT NULL DEFAULT 0 CHECK (monthly_cap >= 0);

-- What happened to an organization that somebody is to be told. It is written in
-- the transaction in which it happened, and stays until that somebody was told.
CREATE TABLE events (
    id         TEXT PRIMARY KEY,
    org        TEXT NOT NULL REFERENCES orgs (id),
    kind       TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    told_at    BIGINT NOT NULL
);
CREATE INDEX events_untold ON events (id) WHERE told_at = 0;
ALTER TABLE events ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY wall ON events USING (
    (SELECT NULLIF(current_setting('magpie.org', true), '')) = '*'
    OR org = (SELECT NULLIF(current_setting('magpie.org', true), ''))
);
