-- name: next_revision
UPDATE meta SET value = CAST(CAST(value AS BIGINT) + 1 AS TEXT) WHERE name = 'watch_revision' RETURNING value;

-- name: save
INSERT INTO watches (id, tenant, object_type, status, name, address, spec, sealed, created, updated, revision)
VALUES (:id, :tenant, :object_type, :status, :name, :address, :spec, :sealed, :created, :updated, :revision)
ON CONFLICT (id) DO UPDATE SET
    hold_until = CASE WHEN watches.address = excluded.address THEN watches.hold_until ELSE 0 END,
    status = excluded.status, name = excluded.name, address = excluded.address, spec = excluded.spec,
    sealed = excluded.sealed, updated = excluded.updated, revision = excluded.revision;

-- name: forget_keys
DELETE FROM watch_keys WHERE watch_id = :watch_id;

-- name: name_key
INSERT INTO watch_keys (watch_id, key_id) VALUES (:watch_id, :key_id);

-- name: naming          a crypto key
SELECT w.id, w.spec FROM watch_keys AS u JOIN watches AS w ON w.id = u.watch_id
WHERE u.key_id = :key_id AND w.deleted IS NULL ORDER BY w.id;

-- name: respecify
UPDATE watches SET spec = :spec, updated = :updated, revision = :revision WHERE id = :id;

-- name: rename_key
UPDATE watch_keys SET key_id = :key_id WHERE key_id = :former;

-- name: remove      the row stays for the log, which names it; its secrets do not
UPDATE watches SET deleted = :now, sealed = NULL, revision = :revision WHERE id = :id;

-- name: one
SELECT id, tenant, spec, sealed, hold_until, revision, deleted FROM watches
WHERE tenant = :tenant AND id = :id AND deleted IS NULL;

-- name: any         whoever owns it
SELECT id, tenant, spec, sealed, hold_until, revision, deleted FROM watches WHERE id = :id AND deleted IS NULL;

-- name: page
SELECT id, tenant, spec, sealed, hold_until, revision, deleted FROM watches
WHERE tenant = :tenant AND id > :after AND deleted IS NULL ORDER BY id LIMIT :limit;

-- name: all
SELECT id, tenant, spec, sealed, hold_until, revision, deleted FROM watches WHERE deleted IS NULL ORDER BY id;

-- name: since       those that were written after a revision, deleted ones too, in that order
SELECT id, tenant, spec, sealed, hold_until, revision, deleted FROM watches WHERE revision > :revision ORDER BY revision;

-- name: hold        the whole watch waits until then
UPDATE watches SET hold_until = :until, revision = :revision WHERE id = :id AND hold_until < :until;

-- name: users_of_key
SELECT w.id FROM watch_keys AS u JOIN watches AS w ON w.id = u.watch_id
WHERE u.key_id = :key_id AND w.deleted IS NULL ORDER BY w.id LIMIT 5;
