-- name: load        the current state of many resources, tombstones too; :keys is [[tenant, type, id], ...]
SELECT r.tenant, r.type, r.id, r.version, r.origin, r.updated, r.deleted, r.document
FROM json_each(:keys) AS k
JOIN resources AS r ON r.tenant = k.value->>0 AND r.type = k.value->>1 AND r.id = k.value->>2;

-- name: peek        the same, to look only
SELECT r.tenant, r.type, r.id, r.version, r.origin, r.updated, r.deleted, r.document
FROM json_each(:keys) AS k
JOIN resources AS r ON r.tenant = k.value->>0 AND r.type = k.value->>1 AND r.id = k.value->>2;

-- postgresql: load  and nobody else writes them until this transaction has ended; all lock in one order
SELECT r.tenant, r.type, r.id, r.version, r.origin, r.updated, r.deleted, r.document
FROM json_each(:keys) AS k
JOIN resources AS r ON r.tenant = k.value->>0 AND r.type = k.value->>1 AND r.id = k.value->>2
ORDER BY r.tenant, r.type, r.id FOR NO KEY UPDATE OF r;

-- postgresql: hold  nobody else writes these, or ends deliveries of them, until this transaction has ended
SELECT 1 FROM json_each(:keys) AS k
JOIN resources AS r ON r.tenant = k.value->>0 AND r.type = k.value->>1 AND r.id = k.value->>2
ORDER BY r.tenant, r.type, r.id FOR NO KEY UPDATE OF r;

-- name: one
SELECT tenant, type, id, version, origin, updated, deleted, document
FROM resources WHERE tenant = :tenant AND type = :type AND id = :id;

-- name: page        in the order of ids
SELECT tenant, type, id, version, origin, updated, deleted, document
FROM resources
WHERE tenant = :tenant AND type = :type AND id > :after AND deleted = 0
ORDER BY id LIMIT :limit;

-- name: latest      any one that is there, for a test delivery
SELECT tenant, type, id, version, origin, updated, deleted, document
FROM resources
WHERE tenant = :tenant AND type = :type AND deleted = 0 AND (CAST(:id AS TEXT) IS NULL OR id = :id)
LIMIT 1;

-- name: owners      who has these identities; :keys is [[tenant, type, member, value], ...]
SELECT i.tenant, i.type, i.member, i.value, i.object_id
FROM json_each(:keys) AS k
JOIN identities AS i
  ON i.tenant = k.value->>0 AND i.type = k.value->>1 AND i.member = k.value->>2 AND i.value = k.value->>3;

-- name: insert      one that was not there; should another process have made it meanwhile, this fails
INSERT INTO resources (tenant, type, id, version, origin, updated, deleted, document)
VALUES (:tenant, :type, :id, :version, :origin, :updated, :deleted, :document);

-- name: save
INSERT INTO resources (tenant, type, id, version, origin, updated, deleted, document)
VALUES (:tenant, :type, :id, :version, :origin, :updated, :deleted, :document)
ON CONFLICT (tenant, type, id) DO UPDATE SET
    version = excluded.version, origin = excluded.origin, updated = excluded.updated,
    deleted = excluded.deleted, document = excluded.document;

-- name: release     an identity that nobody has any more
DELETE FROM identities WHERE tenant = :tenant AND type = :type AND member = :member AND value = :value;

-- name: claim       an identity for its new owner
INSERT INTO identities (tenant, type, member, value, object_id)
VALUES (:tenant, :type, :member, :value, :object_id);

-- name: texts       as load, for those who only compare
SELECT r.tenant, r.type, r.id, r.updated, r.document
FROM json_each(:keys) AS k
JOIN resources AS r ON r.tenant = k.value->>0 AND r.type = k.value->>1 AND r.id = k.value->>2;
