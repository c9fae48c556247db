-- +goose Up

-- Credits that expire together. What is left of all lots of an organization is
-- what its account has available. A charge burns lots in their order.
CREATE TABLE lots (
    org        TEXT NOT NULL REFERENCES orgs (id),
    lot        BIGINT NOT NULL,
    class      BIGINT NOT NULL,
    expires_at BIGINT NOT NULL,
    remaining  BIGINT NOT NULL CHECK (remaining >= 0),
    PRIMARY KEY (org, lot)
);
CREATE INDEX lots_expiring ON lots (expires_at) WHERE remaining > 0 AND expires_at > 0;

-- Until now credits never expired: they were one lot.
INSERT INTO lots (org, lot, class, expires_at, remaining) SELECT org, 1, 2, 0, available FROM accounts WHERE grants > 0;
ALTER TABLE grants ADD COLUMN lot BIGINT NOT NULL DEFAULT 1;
ALTER TABLE grants ADD COLUMN expires_at BIGINT NOT NULL DEFAULT 0;

-- What each charge took from which lots.
ALTER TABLE closings ADD COLUMN slices TEXT NOT NULL DEFAULT '[]';

-- Below threshold an account is low; level is how low the owner knows it to be.
ALTER TABLE accounts ADD COLUMN threshold BIGINT NOT NULL DEFAULT 0 CHECK (threshold >= 0);
ALTER TABLE accounts ADD COLUMN level BIGINT NOT NULL DEFAULT 0;

-- A charged row is refunded once, a reference of a revoke counts once.
CREATE TABLE refunds (
    hold       TEXT NOT NULL,
    row        BIGINT NOT NULL,
    org        TEXT NOT NULL REFERENCES orgs (id),
    number     BIGINT NOT NULL,
    amount     BIGINT NOT NULL CHECK (amount > 0),
    created_at BIGINT NOT NULL,
    PRIMARY KEY (hold, row)
);
CREATE TABLE revokes (
    org        TEXT NOT NULL REFERENCES orgs (id),
    reference  TEXT NOT NULL,
    number     BIGINT NOT NULL,
    grant_id   TEXT NOT NULL,
    amount     BIGINT NOT NULL CHECK (amount >= 0),
    revoked    BIGINT NOT NULL,
    created_at BIGINT NOT NULL,
    PRIMARY KEY (org, reference)
);

-- Every Redis that was met. One that is new may be a replica that lagged: it
-- ends the epoch, in which all that the gate had counts as missing.
CREATE TABLE redis_servers (
    run_id TEXT PRIMARY KEY,
    met_at BIGINT NOT NULL
);
CREATE TABLE fleet (
    one   BIGINT PRIMARY KEY CHECK (one = 1),
    epoch BIGINT NOT NULL
);
INSERT INTO fleet (one, epoch) VALUES (1, 0);

-- Up to which entry an organization's books were proven, and the balance there.
CREATE TABLE audits (
    org     TEXT PRIMARY KEY REFERENCES orgs (id),
    seq     BIGINT NOT NULL,
    balance BIGINT NOT NULL
);
CREATE INDEX closings_by_org ON closings (org, seq) WHERE seq > 0;
