-- name: insert
INSERT INTO jobs (id, tenant, kind, subject, state, done, total, detail, result, started, finished, worker)
VALUES (:id, :tenant, :kind, :subject, :state, :done, :total, :detail, :result, :started, :finished, :worker);

-- name: save        how far it is, unless it has ended
UPDATE jobs SET state = :state, done = :done, total = :total, detail = :detail, result = :result, finished = :finished
WHERE id = :id AND state = 'running';

-- name: one
SELECT id, tenant, kind, subject, started, state, done, total, detail, result, finished
FROM jobs WHERE tenant = :tenant AND id = :id;

-- name: page        newest first; :before is null for the first page
SELECT id, tenant, kind, subject, started, state, done, total, detail, result, finished
FROM jobs WHERE tenant = :tenant AND (CAST(:before AS TEXT) IS NULL OR id < :before)
ORDER BY id DESC LIMIT :limit;

-- name: running     the one that works on this now
SELECT id, tenant, kind, subject, started, state, done, total, detail, result, finished
FROM jobs WHERE tenant = :tenant AND kind = :kind AND subject = :subject AND state = 'running';

-- name: abandon     whoever was working on these is no more; :workers is [id, ...], or null: whoever it was
UPDATE jobs SET state = 'failed', detail = :detail, finished = :now
WHERE kind = :kind AND state = 'running'
AND (CAST(:workers AS TEXT) IS NULL OR worker IN (SELECT k.value FROM json_each(:workers) AS k))
RETURNING tenant, subject;

-- name: purge       those that ended long ago
DELETE FROM jobs WHERE tenant = :tenant AND id < :before AND state <> 'running';
