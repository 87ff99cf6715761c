-- name: insert
INSERT INTO changes (id, tenant, type, object_id, event, version, time, source, before, after, diff)
VALUES (:id, :tenant, :type, :object_id, :event, :version, :time, :source, :before, :after, :diff);

-- name: filter      an update that some watches do not hear of, because of their fields
INSERT INTO filtered (change_id, watches, ids) VALUES (:change_id, :watches, :ids);

-- name: purge       old changes that no delivery leans on any more, nor will
DELETE FROM changes WHERE id IN (
    SELECT c.id FROM changes AS c
    WHERE c.id < :before AND NOT EXISTS (
        SELECT 1 FROM deliveries AS d
        WHERE d.tenant = c.tenant AND d.object_id = c.object_id AND d.change_id = c.id
    )
    AND NOT EXISTS (SELECT 1 FROM fan_outs AS f WHERE f.change_id = c.id)
    ORDER BY c.id LIMIT :limit
) RETURNING id, tenant, tx, seq, time, event;

-- name: forget      how far a tenant's changes are gone
INSERT INTO forgotten (tenant, tx, seq, time) VALUES (:tenant, :tx, :seq, :time)
ON CONFLICT (tenant) DO UPDATE SET tx = excluded.tx, seq = excluded.seq, time = excluded.time
WHERE (excluded.tx, excluded.seq) > (forgotten.tx, forgotten.seq);

-- name: drop_filtered
DELETE FROM filtered WHERE change_id = :id;
