-- +goose Up

-- Beside its ticket, what else a provider has said to a question that is still
-- open: whoever asks it again asks only those who may have something.
ALTER TABLE tickets RENAME TO trails;
ALTER TABLE trails
    ADD COLUMN missed BOOLEAN NOT NULL DEFAULT FALSE,
    ADD COLUMN lost   INTEGER NOT NULL DEFAULT 0,
    ADD COLUMN spent  BIGINT  NOT NULL DEFAULT 0, -- millionths of the operator's unit
    ADD COLUMN took   BIGINT  NOT NULL DEFAULT 0; -- ms
