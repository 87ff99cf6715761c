-- name: find
SELECT sealed, good_until FROM tokens WHERE owner = :owner;

-- name: keep
INSERT INTO tokens (owner, sealed, good_until) VALUES (:owner, :sealed, :good_until)
ON CONFLICT (owner) DO UPDATE SET sealed = excluded.sealed, good_until = excluded.good_until;

-- name: purge
DELETE FROM tokens WHERE good_until < :before;
