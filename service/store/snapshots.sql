-- name: begin
INSERT INTO snapshots (id, tenant, type, origin, started) VALUES (:id, :tenant, :type, :origin, :started);

-- name: one
SELECT id, tenant, type, origin, started, finished FROM snapshots WHERE id = :id;

-- name: mark        these were shown
INSERT INTO seen (snapshot_id, object_id) VALUES (:id, :object_id) ON CONFLICT (snapshot_id, object_id) DO NOTHING;

-- name: total       how many resources there are of this origin
SELECT count(*) FROM resources WHERE tenant = :tenant AND type = :type AND origin = :origin AND deleted = 0;

-- name: missing     of those, the ones that were not shown and have not changed since it began
SELECT r.id FROM resources AS r
WHERE r.tenant = :tenant AND r.type = :type AND r.origin = :origin AND r.deleted = 0 AND r.updated <= :started
AND NOT EXISTS (SELECT 1 FROM seen AS s WHERE s.snapshot_id = :id AND s.object_id = r.id)
ORDER BY r.id LIMIT :limit;

-- name: count_missing
SELECT count(*) FROM resources AS r
WHERE r.tenant = :tenant AND r.type = :type AND r.origin = :origin AND r.deleted = 0 AND r.updated <= :started
AND NOT EXISTS (SELECT 1 FROM seen AS s WHERE s.snapshot_id = :id AND s.object_id = r.id);

-- name: forget      what it has shown, a part at a time
DELETE FROM seen WHERE snapshot_id = :id
AND object_id IN (SELECT s.object_id FROM seen AS s WHERE s.snapshot_id = :id LIMIT :limit)
RETURNING object_id;

-- name: finish
UPDATE snapshots SET finished = :now WHERE id = :id;
