-- +goose Up

-- Loading an account reads what its lasting scopes spent, and not that of every
-- batch there ever was.
CREATE INDEX spend_lasting ON spend (org) WHERE substr(scope, 1, 6) <> 'batch:';
