-- name: ask         now, and from the beginning: what an earlier question comes to does not count any more
INSERT INTO verifications (watch_id, due) VALUES (:watch_id, :now)
ON CONFLICT (watch_id) DO UPDATE SET
    due = excluded.due, attempts = 0, worker = NULL, lease_until = 0, fence = verifications.fence + 1;

-- name: resume      where nothing is due: the watch may be asked again
INSERT INTO verifications (watch_id, due) VALUES (:watch_id, :now)
ON CONFLICT (watch_id) DO UPDATE SET
    due = CASE WHEN verifications.due IS NULL THEN excluded.due ELSE verifications.due END;

-- name: claim       those that wait longest
UPDATE verifications SET worker = :worker, lease_until = :lease_until, fence = fence + 1
WHERE watch_id IN (
    SELECT watch_id FROM verifications
    WHERE due <= :now AND (worker IS NULL OR lease_until <= :now) ORDER BY due LIMIT :limit
) AND due <= :now AND (worker IS NULL OR lease_until <= :now)
RETURNING watch_id, attempts, fence;

-- name: next_due    when there is something to claim
SELECT min(CASE WHEN worker IS NULL OR lease_until < due THEN due ELSE lease_until END) AS due FROM verifications
WHERE due IS NOT NULL;

-- name: settle      under the fence only
UPDATE verifications SET due = :due, attempts = attempts + 1, worker = NULL
WHERE watch_id = :watch_id AND fence = :fence RETURNING watch_id;

-- name: release     what this worker will not ask any more
UPDATE verifications SET worker = NULL WHERE worker = :worker;

-- name: free        the questions of those who are no more; :workers is [id, ...]
UPDATE verifications SET worker = NULL WHERE worker IN (SELECT k.value FROM json_each(:workers) AS k);

-- name: take_over   called by the one process that owns the database
UPDATE verifications SET worker = NULL WHERE worker IS NOT NULL;
