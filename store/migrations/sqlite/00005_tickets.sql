-- +goose Up

-- Questions that asynchronous vendors have taken on: their answers are fetched
-- with the ticket rather than ordered, and paid for, again.
CREATE TABLE tickets (
    org      TEXT NOT NULL,
    question TEXT NOT NULL,
    provider TEXT NOT NULL,
    ticket   TEXT NOT NULL,
    asked_at BIGINT NOT NULL,
    PRIMARY KEY (org, question, provider)
);
