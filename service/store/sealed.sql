-- name: crypto_keys
SELECT id, sealed FROM crypto_keys;

-- name: save_crypto_keys
UPDATE crypto_keys SET sealed = :sealed WHERE id = :id;

-- name: watches
SELECT id, sealed FROM watches WHERE sealed IS NOT NULL;

-- name: save_watches
UPDATE watches SET sealed = :sealed WHERE id = :id;

-- name: sources
SELECT id, sealed FROM sources WHERE sealed IS NOT NULL;

-- name: save_sources
UPDATE sources SET sealed = :sealed WHERE id = :id;

-- name: authorizations
SELECT id, sealed FROM authorizations WHERE sealed IS NOT NULL;

-- name: save_authorizations
UPDATE authorizations SET sealed = :sealed WHERE id = :id;

-- name: kept_answers  the next ones: there may be many
SELECT id, sealed FROM kept_answers WHERE id > :after ORDER BY id LIMIT :limit;

-- name: save_kept_answers
UPDATE kept_answers SET sealed = :sealed WHERE id = :id;

-- name: canary
SELECT name AS id, value AS sealed FROM meta WHERE name = 'canary';

-- name: save_canary
INSERT INTO meta (name, value) VALUES (:id, :sealed) ON CONFLICT (name) DO UPDATE SET value = excluded.value;
