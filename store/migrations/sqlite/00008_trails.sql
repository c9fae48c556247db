-- +goose Up

-- Beside its ticket, what else a provider has said to a question that is still
-- open: whoever asks it again asks only those who may have something.
ALTER TABLE tickets RENAME TO trails;
ALTER TABLE trails ADD COLUMN missed INTEGER NOT NULL DEFAULT 0;
ALTER TABLE trails ADD COLUMN lost   INTEGER NOT NULL DEFAULT 0;
ALTER TABLE trails ADD COLUMN spent  INTEGER NOT NULL DEFAULT 0; -- millionths of the operator's unit
ALTER TABLE trails ADD COLUMN took   INTEGER NOT NULL DEFAULT 0; -- ms
