-- name: begin
INSERT INTO snapshots (id, tenant, type, origin, started) VALUES (:id, :tenant, :type, :origin, :started);

-- name: one
SELECT id, tenant, type, origin, started, finished FROM snapshots WHERE id = :id;

-- name: left_over   those of an origin that were not ended, or not to their last mark
SELECT p.id, p.tenant, p.type, p.origin, p.started, p.finished FROM snapshots AS p
WHERE p.origin = :origin AND (p.finished IS NULL OR EXISTS (SELECT 1 FROM seen AS s WHERE s.snapshot_id = p.id));

-- name: mark        these were shown; answers those that were not before. :ids is [id, ...]
INSERT INTO seen (snapshot_id, object_id)
SELECT :id, k.value FROM json_each(:ids) AS k WHERE true
ON CONFLICT (snapshot_id, object_id) DO NOTHING
RETURNING object_id;

-- name: total       how many resources there are of this origin
SELECT count(*) FROM resources WHERE tenant = :tenant AND type = :type AND origin = :origin AND deleted = 0;

-- name: window      the last of the next :limit of those, in the order of ids
SELECT max(w.id) FROM (
    SELECT id FROM resources
    WHERE tenant = :tenant AND type = :type AND origin = :origin AND deleted = 0 AND id > :after
    ORDER BY id LIMIT :limit
) AS w;

-- name: missing     of a window, the ones that were not shown and have not changed since it began
SELECT r.id FROM resources AS r
WHERE r.tenant = :tenant AND r.type = :type AND r.origin = :origin AND r.deleted = 0 AND r.updated <= :started
AND r.id > :after AND r.id <= :until
AND NOT EXISTS (SELECT 1 FROM seen AS s WHERE s.snapshot_id = :id AND s.object_id = r.id)
ORDER BY r.id LIMIT :limit;

-- name: forget      what it has shown, a part at a time
DELETE FROM seen WHERE snapshot_id = :id
AND object_id IN (SELECT s.object_id FROM seen AS s WHERE s.snapshot_id = :id LIMIT :limit)
RETURNING object_id;

-- name: finish
UPDATE snapshots SET finished = :now WHERE id = :id;

-- name: purge
DELETE FROM snapshots WHERE finished < :before
AND NOT EXISTS (SELECT 1 FROM seen AS s WHERE s.snapshot_id = snapshots.id);
