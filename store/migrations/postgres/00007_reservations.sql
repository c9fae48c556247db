-- +goose Up

-- Calls to vendors that the fleet may make of a minute's or a day's quota: if
-- Redis forgets how many it leased, this is how many it may have been.
CREATE TABLE reservations (
    quota    TEXT   NOT NULL,
    id       TEXT   NOT NULL,
    until_ms BIGINT NOT NULL, -- when the last of them has arrived
    calls    BIGINT NOT NULL,
    PRIMARY KEY (quota, id)
);
CREATE INDEX reservations_until ON reservations (quota, until_ms);
ALTER TABLE reservations ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY wall ON reservations USING (
    (SELECT NULLIF(current_setting('magpie.org', true), '')) = '*'
);
