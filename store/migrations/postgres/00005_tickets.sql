-- +goose Up

-- Questions that asynchronous vendors have taken on: their answers are fetched
-- with the ticket rather than ordered, and paid for, again.
CREATE TABLE tickets (
    org      TEXT NOT NULL,
    question UUID NOT NULL,
    provider TEXT NOT NULL,
    ticket   TEXT NOT NULL,
    asked_at BIGINT NOT NULL,
    PRIMARY KEY (org, question, provider)
);
ALTER TABLE tickets ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY wall ON tickets USING (
    (SELECT NULLIF(current_setting('magpie.org', true), '')) = '*'
    OR org = (SELECT NULLIF(current_setting('magpie.org', true), ''))
);
