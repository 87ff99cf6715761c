-- name: find
SELECT created, sealed FROM kept_answers WHERE id = :id;

-- name: keep        in the place of one that has expired, but never of another
INSERT INTO kept_answers (id, created, sealed) VALUES (:id, :now, :sealed)
ON CONFLICT (id) DO UPDATE SET created = excluded.created, sealed = excluded.sealed
WHERE kept_answers.created <= :expired
RETURNING id;

-- name: expired
DELETE FROM kept_answers WHERE id IN (
    SELECT k.id FROM kept_answers AS k WHERE k.created <= :before ORDER BY k.created LIMIT :limit
) RETURNING id;
