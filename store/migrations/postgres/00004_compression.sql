-- +goose Up

-- Documents are written once and read a few times: lz4 takes a fraction of the
-- time of the default. Servers built without it, and those before 14, keep theirs.
-- +goose StatementBegin
DO $$
BEGIN
    EXECUTE 'ALTER TABLE chunks ALTER COLUMN input SET COMPRESSION lz4';
    EXECUTE 'ALTER TABLE results ALTER COLUMN body SET COMPRESSION lz4';
EXCEPTION
    WHEN feature_not_supported OR syntax_error OR invalid_parameter_value THEN NULL;
END
$$;
-- +goose StatementEnd
