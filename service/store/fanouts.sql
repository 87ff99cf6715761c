-- name: use         one more change is told to this audience; its portions are there already where this is not the first
INSERT INTO audiences (id, portions, uses) VALUES (:id, :portions, 1)
ON CONFLICT (id) DO UPDATE SET uses = audiences.uses + 1
RETURNING uses;

-- name: add_portion
INSERT INTO audience_portions (audience_id, number, watch_ids) VALUES (:audience_id, :number, :watch_ids);

-- name: insert
INSERT INTO fan_outs (change_id, tenant, object_type, object_id, version, audience_id)
VALUES (:change_id, :tenant, :object_type, :object_id, :version, :audience_id);

-- name: head        a tenant's oldest one, but none before an earlier version of its resource
SELECT f.change_id, f.tenant, f.object_type, f.object_id, f.audience_id, f.portion, a.portions, p.watch_ids
FROM fan_outs AS f
JOIN audiences AS a ON a.id = f.audience_id
JOIN audience_portions AS p ON p.audience_id = f.audience_id AND p.number = f.portion
WHERE f.tenant = :tenant AND NOT EXISTS (
    SELECT 1 FROM fan_outs AS e
    WHERE e.tenant = f.tenant AND e.object_type = f.object_type AND e.object_id = f.object_id AND e.version < f.version
)
ORDER BY f.change_id LIMIT 1;

-- name: among       those of these resources with changes that are not told to everyone yet
SELECT DISTINCT f.tenant, f.object_type, f.object_id
FROM json_each(:keys) AS k
JOIN fan_outs AS f ON f.tenant = k.value->>0 AND f.object_type = k.value->>1 AND f.object_id = k.value->>2;

-- name: move_on     the fence: of two that tell the same portion, one gets a row
UPDATE fan_outs SET portion = portion + 1 WHERE change_id = :change_id AND portion = :portion RETURNING change_id;

-- name: end
DELETE FROM fan_outs WHERE change_id = :change_id AND portion = :portion RETURNING change_id;

-- name: use_less    one of the changes that are told to it has been told
UPDATE audiences SET uses = uses - 1 WHERE id = :id RETURNING uses;

-- name: drop_portions
DELETE FROM audience_portions WHERE audience_id = :id;

-- name: drop
DELETE FROM audiences WHERE id = :id;

-- name: change
SELECT id AS change_id, tenant, type, object_id, event, version, time, source, before, after, diff
FROM changes WHERE id = :id;

-- name: open        resources with changes that are not told to everyone yet, and how many
SELECT tenant, object_type, object_id, count(*) AS changes FROM fan_outs GROUP BY tenant, object_type, object_id;
