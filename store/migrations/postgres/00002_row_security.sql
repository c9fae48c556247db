-- +goose Up

-- A second wall behind every query's own condition. A connection says in the
-- setting magpie.org whose it is: an organization's id, or * for Magpie itself.
-- One that says nothing sees nothing. FORCE binds the owner of the tables too.
--
-- The setting is read in sub-selects so that it is read once a statement, not
-- once a row, and * is tested first, so that the system pays for nothing else.
-- +goose StatementBegin
DO $$
DECLARE
    said    CONSTANT text := $q$(SELECT NULLIF(current_setting('magpie.org', true), ''))$q$;
    entry   record;
BEGIN
    FOR entry IN
        SELECT 'orgs' AS name, 'id = ' || said AS mine
        UNION ALL
        SELECT unnest(ARRAY['api_keys', 'accounts', 'grants', 'closings', 'entries', 'spend',
                            'batches', 'answers', 'lookups', 'idempotency']), 'org = ' || said
        UNION ALL
        -- These are whose their batch is, and batches has a wall of its own.
        SELECT unnest(ARRAY['chunks', 'results', 'duplicates']),
               'EXISTS (SELECT FROM batches WHERE batches.id = batch)'
    LOOP
        EXECUTE format('ALTER TABLE %I ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY', entry.name);
        EXECUTE format('CREATE POLICY wall ON %I USING (%s = ''*'' OR %s)', entry.name, said, entry.mine);
    END LOOP;
END
$$;
-- +goose StatementEnd
