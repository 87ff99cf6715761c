-- name: add_tenant
INSERT INTO tenants (id, created) VALUES (:id, :now) ON CONFLICT (id) DO NOTHING;

-- name: tenant
SELECT id FROM tenants WHERE id = :id;

-- name: save_api_key
INSERT INTO api_keys (id, tenant, name, role, hash, created) VALUES (:id, :tenant, :name, :role, :hash, :created)
ON CONFLICT (id) DO UPDATE SET hash = excluded.hash;

-- name: api_key_by_hash
SELECT id, tenant, name, role, created FROM api_keys WHERE hash = :hash;

-- name: api_key
SELECT id, tenant, name, role, created FROM api_keys WHERE id = :id AND (CAST(:tenant AS TEXT) IS NULL OR tenant = :tenant);

-- name: api_keys
SELECT id, tenant, name, role, created FROM api_keys
WHERE (CAST(:tenant AS TEXT) IS NULL OR tenant = :tenant) AND id > :after ORDER BY id LIMIT :limit;

-- name: delete_api_key
DELETE FROM api_keys WHERE id = :id;

-- name: next_revision  a key was made or revoked
UPDATE meta SET value = CAST(CAST(value AS BIGINT) + 1 AS TEXT) WHERE name = 'api_key_revision';
