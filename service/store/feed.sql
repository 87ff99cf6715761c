-- name: page        oldest first, in the order of commits; @filters@ is made of the fragments in the module, never of input
SELECT c.tx, c.seq, c.id, c.type, c.object_id, c.event, c.version, c.time, c.after, c.diff, f.watches, f.ids
FROM changes AS c
LEFT JOIN filtered AS f ON f.change_id = c.id
WHERE c.tenant = :tenant AND c.event <> 'test' AND c.type <> 'watch'
    AND +c.tx < (SELECT h.tx FROM horizon AS h) AND @filters@
ORDER BY c.tx, c.seq LIMIT :limit;

-- name: of_one      of one resource: they are few, and found by it
SELECT c.tx, c.seq, c.id, c.type, c.object_id, c.event, c.version, c.time, c.after, c.diff, f.watches, f.ids
FROM changes AS c
LEFT JOIN filtered AS f ON f.change_id = c.id
WHERE c.tenant = :tenant AND c.event <> 'test' AND +c.tx < (SELECT h.tx FROM horizon AS h) AND @filters@
ORDER BY c.type, c.object_id, c.version LIMIT :limit;

-- name: unsettled   the last transaction with a change of a tenant that is committed, and not below the horizon yet
SELECT tx FROM changes
WHERE tenant = :tenant AND event <> 'test' AND tx >= (SELECT h.tx FROM horizon AS h)
ORDER BY tx DESC LIMIT 1;

-- name: horizon
SELECT tx FROM horizon;

-- name: first       the place of the first change from some id on
SELECT tx, seq FROM changes WHERE id >= :id ORDER BY id LIMIT 1;

-- name: newest      of a tenant
SELECT tx, seq FROM changes WHERE tenant = :tenant AND event <> 'test' ORDER BY tx DESC, seq DESC LIMIT 1;

-- name: forgotten   the newest change of a tenant that is gone
SELECT tx, seq, time FROM forgotten WHERE tenant = :tenant;
