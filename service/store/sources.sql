-- name: insert
INSERT INTO sources (id, tenant, type, status, spec, sealed, declared, sweep, due)
VALUES (:id, :tenant, :type, :status, :spec, :sealed, :declared, :sweep, :due);

-- name: save        its definition; a turn under way is not its turn any more
UPDATE sources SET status = :status, spec = :spec, sealed = :sealed, declared = :declared, sweep = :sweep, due = :due,
    hold_until = :hold_until, worker = NULL, fence = fence + 1
WHERE id = :id;

-- name: save_secrets
UPDATE sources SET sealed = :sealed WHERE id = :id;

-- name: one
SELECT id, tenant, status, spec, sealed, declared, sweep, due, hold_until, asked, confirmed, worker, lease_until, fence
FROM sources WHERE tenant = :tenant AND id = :id;

-- name: any         whoever owns it
SELECT id, tenant, status, spec, sealed, declared, sweep, due, hold_until, asked, confirmed, worker, lease_until, fence
FROM sources WHERE id = :id;

-- name: page
SELECT id, tenant, status, spec, sealed, declared, sweep, due, hold_until, asked, confirmed, worker, lease_until, fence
FROM sources WHERE tenant = :tenant AND id > :after ORDER BY id LIMIT :limit;

-- name: declared    those that were declared in files
SELECT id, tenant, status, spec, sealed, declared, sweep, due, hold_until, asked, confirmed, worker, lease_until, fence
FROM sources WHERE declared IS NOT NULL ORDER BY id;

-- name: remove
DELETE FROM sources WHERE id = :id;

-- name: release     what it has shown stays, and is nobody's to delete but by hand
UPDATE resources SET origin = :origin WHERE tenant = :tenant AND type = :type AND origin = :former AND deleted = 0;

-- name: sweep_now   not before the upstream wants to be asked again
UPDATE sources SET asked = 1, due = CASE WHEN hold_until > :now THEN hold_until ELSE :now END WHERE id = :id;

-- name: confirm
UPDATE sources SET confirmed = 1, due = :now WHERE id = :id;

-- name: due         whose turn it could be
SELECT id FROM sources
WHERE status = 'active' AND due <= :now AND (worker IS NULL OR worker = :worker OR lease_until <= :now)
ORDER BY due LIMIT :limit;

-- name: next_due
SELECT min(CASE WHEN worker IS NULL THEN due ELSE lease_until END) AS due FROM sources
WHERE status = 'active' AND (worker IS NULL OR worker <> :worker);

-- name: claim
UPDATE sources SET worker = :worker, lease_until = :lease_until, fence = fence + 1
WHERE id = :id AND status = 'active' AND due <= :now AND (worker IS NULL OR worker = :worker OR lease_until <= :now)
RETURNING id, tenant, status, spec, sealed, declared, sweep, due, hold_until, asked, confirmed, worker, lease_until,
    fence;

-- name: keep        the lease, while the turn goes on
UPDATE sources SET lease_until = :lease_until WHERE id = :id AND fence = :fence RETURNING id;

-- name: checkpoint  where the turn is, and whether something is to be confirmed; what it answers is not asked any more
UPDATE sources SET sweep = :sweep,
    asked = CASE WHEN :begins = 1 THEN 0 ELSE asked END,
    confirmed = CASE WHEN :concluded = 1 THEN 0 ELSE confirmed END
WHERE id = :id AND fence = :fence RETURNING confirmed;

-- name: settle      the turn is over; who asked for another one meanwhile gets it now
UPDATE sources SET sweep = :sweep, hold_until = :hold_until, worker = NULL,
    due = CASE WHEN confirmed = 1 OR (asked = 1 AND :completed = 1 AND CAST(:now AS BIGINT) >= :hold_until) THEN :now ELSE :due END
WHERE id = :id AND fence = :fence RETURNING id;

-- name: free        the turns of those who are no more; :workers is [id, ...]
UPDATE sources SET worker = NULL WHERE worker IN (SELECT k.value FROM json_each(:workers) AS k);

-- name: take_over   called by the one process that owns the database
UPDATE sources SET worker = NULL WHERE worker IS NOT NULL;

-- name: count_seen  resources that a snapshot has shown
SELECT count(*) FROM seen WHERE snapshot_id = :snapshot_id;

-- name: end_snapshots
UPDATE snapshots SET finished = started WHERE origin = :origin AND finished IS NULL;

-- name: forget_seen what is left of snapshots that have ended
DELETE FROM seen WHERE snapshot_id IN (SELECT id FROM snapshots WHERE origin = :origin AND finished IS NOT NULL);

-- name: forget_snapshots
DELETE FROM snapshots WHERE origin = :origin AND finished IS NOT NULL;
