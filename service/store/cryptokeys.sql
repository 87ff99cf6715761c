-- name: next_revision      the watches' counter: whoever follows it learns of a key before the watches that name it
UPDATE meta SET value = CAST(CAST(value AS BIGINT) + 1 AS TEXT) WHERE name = 'watch_revision' RETURNING value;

-- name: add
INSERT INTO crypto_keys (id, tenant, name, algorithm, sealed, created, revision)
VALUES (:id, :tenant, :name, :algorithm, :sealed, :created, :revision);

-- name: retire             it was rotated, or its overlap ends at another time
UPDATE crypto_keys SET successor = :successor, expires = :expires, revision = :revision WHERE id = :id;

-- name: adopt_predecessors   those that were rotated to a key that goes were rotated to the one after it
UPDATE crypto_keys SET successor = :successor, revision = :revision WHERE successor = :id;

-- name: remove
DELETE FROM crypto_keys WHERE id = :id;

-- name: used               at most once an hour for each key
UPDATE crypto_keys SET last_used = :at WHERE id = :id AND (last_used IS NULL OR last_used < :stale);

-- name: one
SELECT k.id, k.tenant, k.name, k.algorithm, k.created, k.successor, k.expires, k.last_used, k.revision, k.sealed,
    (SELECT COUNT(*) FROM watch_keys AS u WHERE u.key_id = k.id) AS watches
FROM crypto_keys AS k WHERE k.tenant = :tenant AND k.id = :id;

-- name: page
SELECT k.id, k.tenant, k.name, k.algorithm, k.created, k.successor, k.expires, k.last_used, k.revision, k.sealed,
    (SELECT COUNT(*) FROM watch_keys AS u WHERE u.key_id = k.id) AS watches
FROM crypto_keys AS k WHERE k.tenant = :tenant AND k.id > :after ORDER BY k.id LIMIT :limit;

-- name: changed            since a revision
SELECT k.id, k.tenant, k.name, k.algorithm, k.created, k.successor, k.expires, k.last_used, k.revision, k.sealed,
    0 AS watches
FROM crypto_keys AS k WHERE k.revision > :revision;

-- name: state              how many there are, and the last change of one
SELECT COUNT(*) AS keys, COALESCE(MAX(revision), -1) AS revision FROM crypto_keys;

-- name: ids
SELECT id FROM crypto_keys;
