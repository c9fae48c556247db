-- +goose Up

CREATE TABLE orgs (
    id         TEXT PRIMARY KEY,
    name       TEXT NOT NULL,
    created_at BIGINT NOT NULL
);

-- A key is shown once; only its hash is kept.
CREATE TABLE api_keys (
    id         TEXT PRIMARY KEY,
    org        TEXT NOT NULL REFERENCES orgs (id),
    name       TEXT NOT NULL,
    hash       BYTEA NOT NULL UNIQUE,
    hint       TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    revoked_at BIGINT
);

-- The account row is what every charge of an organization meets: its generation
-- fences charges off, seq numbers the entries, and available never goes below 0.
CREATE TABLE accounts (
    org        TEXT PRIMARY KEY REFERENCES orgs (id),
    generation BIGINT NOT NULL,
    grants     BIGINT NOT NULL,
    seq        BIGINT NOT NULL,
    granted    BIGINT NOT NULL,
    charged    BIGINT NOT NULL,
    expired    BIGINT NOT NULL,
    revoked    BIGINT NOT NULL,
    available  BIGINT NOT NULL CHECK (available >= 0)
);

CREATE TABLE grants (
    org        TEXT NOT NULL REFERENCES orgs (id),
    number     BIGINT NOT NULL,
    id         TEXT NOT NULL UNIQUE,
    source     TEXT NOT NULL,
    amount     BIGINT NOT NULL CHECK (amount > 0),
    reference  TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    PRIMARY KEY (org, number),
    UNIQUE (org, reference)
);

-- How each hold was closed. Whichever closing of a hold comes first stands.
CREATE TABLE closings (
    hold       TEXT PRIMARY KEY,
    org        TEXT NOT NULL,
    kind       TEXT NOT NULL,
    service    TEXT NOT NULL,
    generation BIGINT NOT NULL,
    seq        BIGINT NOT NULL,
    balance    BIGINT NOT NULL,
    charged    BIGINT NOT NULL,
    lines      TEXT NOT NULL,
    units      BYTEA,
    created_at BIGINT NOT NULL
);

-- Double entry: each row takes an amount from one account and gives it to
-- another, so that whatever is in the table sums to zero. Append-only.
CREATE TABLE entries (
    org        TEXT NOT NULL,
    seq        BIGINT NOT NULL,
    line       BIGINT NOT NULL,
    debit      TEXT NOT NULL,
    credit     TEXT NOT NULL,
    amount     BIGINT NOT NULL CHECK (amount > 0),
    balance    BIGINT NOT NULL,
    reference  TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    PRIMARY KEY (org, seq, line)
);

-- What was charged to each scope (a batch, an API key's month).
CREATE TABLE spend (
    org     TEXT NOT NULL,
    scope   TEXT NOT NULL,
    charged BIGINT NOT NULL,
    PRIMARY KEY (org, scope)
);

CREATE TABLE batches (
    id           TEXT PRIMARY KEY,
    org          TEXT NOT NULL REFERENCES orgs (id),
    api_key      TEXT NOT NULL,
    service      TEXT NOT NULL,
    name         TEXT NOT NULL,
    status       TEXT NOT NULL,
    pause_reason TEXT NOT NULL,
    price        BIGINT NOT NULL,
    options      TEXT NOT NULL,
    columns      TEXT NOT NULL,
    chunk_rows   BIGINT NOT NULL,
    chunks       BIGINT NOT NULL,
    open_chunks  BIGINT NOT NULL,
    total        BIGINT NOT NULL,
    askable      BIGINT NOT NULL,
    asked        BIGINT NOT NULL,
    found        BIGINT NOT NULL,
    not_found    BIGINT NOT NULL,
    invalid      BIGINT NOT NULL,
    failed       BIGINT NOT NULL,
    duplicate    BIGINT NOT NULL,
    reused       BIGINT NOT NULL,
    charged      BIGINT NOT NULL,
    created_at   BIGINT NOT NULL,
    started_at   BIGINT NOT NULL,
    paused_at    BIGINT NOT NULL,
    finished_at  BIGINT NOT NULL
);
CREATE INDEX batches_by_org ON batches (org, id);
CREATE INDEX batches_active ON batches (status) WHERE status IN ('intake', 'accepted', 'running', 'paused');

-- A chunk's rows are one document. Its round is its identity in the gate, in
-- the queue and in the closings; it advances in the transaction that closes it.
CREATE TABLE chunks (
    batch    TEXT NOT NULL REFERENCES batches (id),
    chunk    BIGINT NOT NULL,
    round    BIGINT NOT NULL,
    first    BIGINT NOT NULL,
    open     BIGINT NOT NULL,
    deaths   BIGINT NOT NULL,
    asked_at BIGINT NOT NULL,
    input    BYTEA NOT NULL,
    PRIMARY KEY (batch, chunk)
);

CREATE TABLE results (
    batch TEXT NOT NULL,
    chunk BIGINT NOT NULL,
    round BIGINT NOT NULL,
    body  BYTEA NOT NULL,
    PRIMARY KEY (batch, chunk, round)
);

-- A row that asks what an earlier row of its batch asks gets that row's answer.
CREATE TABLE duplicates (
    batch    TEXT NOT NULL,
    row      BIGINT NOT NULL,
    original BIGINT NOT NULL,
    body     BYTEA,
    PRIMARY KEY (batch, row)
);
CREATE INDEX duplicates_by_original ON duplicates (batch, original);

-- Charged answers, to be reused inside the window. The key is what makes two
-- workers who ask the same question charge for it once.
CREATE TABLE answers (
    org         TEXT NOT NULL,
    question    UUID NOT NULL,
    result      BYTEA NOT NULL,
    provider    TEXT NOT NULL,
    answered_at BIGINT NOT NULL,
    PRIMARY KEY (org, question)
);

CREATE TABLE lookups (
    id         TEXT PRIMARY KEY,
    org        TEXT NOT NULL REFERENCES orgs (id),
    service    TEXT NOT NULL,
    body       BYTEA NOT NULL,
    created_at BIGINT NOT NULL
);

-- The first answer given under an Idempotency-Key. object is the id that the
-- request creates, so that a repeat finishes what was left unfinished.
CREATE TABLE idempotency (
    org        TEXT NOT NULL,
    key        TEXT NOT NULL,
    route      TEXT NOT NULL,
    object     TEXT NOT NULL,
    body_hash  BYTEA,
    status     BIGINT NOT NULL,
    answer     BYTEA,
    claimed_at BIGINT NOT NULL,
    PRIMARY KEY (org, key)
);
