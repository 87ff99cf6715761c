-- name: portion     the next resources of a type that are there, in the order of ids; of one length of ids, or 0: of any
SELECT id, document FROM resources
WHERE tenant = :tenant AND type = :type AND id > :after AND deleted = 0 AND (:length = 0 OR length(id) = :length)
ORDER BY id LIMIT :limit;

-- name: lengths     of its ids
SELECT DISTINCT length(id) FROM resources WHERE tenant = :tenant AND type = :type ORDER BY 1;

-- name: some        those of some that are there; :keys is [[tenant, type, id], ...]
SELECT r.id, r.document
FROM json_each(:keys) AS k
JOIN resources AS r ON r.tenant = k.value->>0 AND r.type = k.value->>1 AND r.id = k.value->>2
WHERE r.deleted = 0;

-- name: count       how many there are
SELECT COUNT(*) FROM resources WHERE tenant = :tenant AND type = :type AND deleted = 0;

-- name: nth         the id of one of them, counted from 0 in the order of ids
SELECT id FROM resources
WHERE tenant = :tenant AND type = :type AND deleted = 0
ORDER BY id LIMIT 1 OFFSET :n;
