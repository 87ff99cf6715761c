-- postgresql: join     this process lives, until then
INSERT INTO replicas (id, expires) VALUES (:id, CAST(extract(epoch FROM clock_timestamp()) * 1000 AS BIGINT) + :lease);

-- postgresql: beat     and goes on, with so many others that deliver; no row: others have declared it dead
UPDATE replicas SET expires = CAST(extract(epoch FROM clock_timestamp()) * 1000 AS BIGINT) + :lease, works = :works
WHERE id = :id
RETURNING (SELECT COUNT(*) FROM replicas AS other WHERE other.works = 1 AND other.id <> :id) AS others;

-- postgresql: bury     those that have not been heard of
DELETE FROM replicas WHERE id = ANY (ARRAY(
    SELECT id FROM replicas WHERE expires < CAST(extract(epoch FROM clock_timestamp()) * 1000 AS BIGINT) AND id <> :id
    ORDER BY id FOR UPDATE SKIP LOCKED
)) RETURNING id;

-- postgresql: gone     those that had jobs to do, and are no more
SELECT DISTINCT j.worker FROM jobs AS j
WHERE j.state = 'running' AND j.worker IS NOT NULL AND NOT EXISTS (SELECT 1 FROM replicas AS r WHERE r.id = j.worker);

-- postgresql: leave
DELETE FROM replicas WHERE id = :id;

-- postgresql: begin    each transaction: its number, and what must be so for it; nobody is buried meanwhile
SELECT CAST(pg_current_xact_id() AS TEXT) AS number,
       (SELECT CAST(value AS BIGINT) FROM meta WHERE name = 'watch_revision') AS watches,
       (SELECT CAST(value AS BIGINT) FROM meta WHERE name = 'api_key_revision') AS keys,
       (SELECT id FROM replicas WHERE id = :id FOR KEY SHARE) AS id;

-- name: revisions
SELECT (SELECT CAST(value AS BIGINT) FROM meta WHERE name = 'watch_revision') AS watches,
       (SELECT CAST(value AS BIGINT) FROM meta WHERE name = 'api_key_revision') AS keys;

-- postgresql: lock     one process at a time does what has this name, and no longer than that
INSERT INTO locks (name, worker, expires) VALUES (:name, :id, CAST(extract(epoch FROM clock_timestamp()) * 1000 AS BIGINT) + :lease)
ON CONFLICT (name) DO UPDATE SET worker = excluded.worker, expires = excluded.expires
WHERE locks.expires < CAST(extract(epoch FROM clock_timestamp()) * 1000 AS BIGINT) OR locks.worker = excluded.worker
RETURNING name;

-- postgresql: unlock
DELETE FROM locks WHERE name = :name AND worker = :id;

-- postgresql: unlock_all
DELETE FROM locks WHERE worker = :id;
