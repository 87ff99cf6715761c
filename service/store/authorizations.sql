-- name: insert
INSERT INTO authorizations (id, tenant, watch_id, sealed, expires) VALUES (:id, :tenant, :watch_id, :sealed, :expires);

-- name: one
SELECT id, tenant, watch_id, sealed, expires, used FROM authorizations WHERE id = :id;

-- name: use         once; of two who come at the same time, the rows tell who was first
UPDATE authorizations SET used = :now, sealed = NULL WHERE id = :id AND used IS NULL RETURNING id;

-- name: purge       those that nobody will come back with
DELETE FROM authorizations WHERE expires < :before;
