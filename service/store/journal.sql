-- name: list        newest first; @from@, @tie@, @filters@ and @order@ are fragments of the module, never made of input
SELECT d.id, d.tenant, d.watch_id, d.object_type, d.object_id, d.object_event, d.status, d.reason, d.due, d.created,
       d.attempts, w.name AS watch_name, w.address AS watch_address,
       a.started, a.duration, a.method, a.address, a.request_headers, a.status_code, a.response_headers, a.error_message
FROM @from@
JOIN watches AS w ON w.id = d.watch_id
LEFT JOIN attempts AS a ON a.delivery_id = d.id AND a.number = d.attempts
WHERE d.tenant = :tenant AND @tie@ AND @filters@
ORDER BY @order@ DESC LIMIT :limit;

-- name: pending     how many there are, counted up to a limit
SELECT count(*) AS found FROM (SELECT 1 AS one FROM deliveries WHERE status = 'pending' LIMIT :limit) AS pending;

-- name: of_type     some watches of a type, deleted ones too
SELECT id FROM watches WHERE tenant = :tenant AND object_type = :objectType ORDER BY id LIMIT :limit;

-- name: of_others   whether there are watches of other types
SELECT 1 FROM watches WHERE tenant = :tenant AND object_type < :objectType
UNION ALL
SELECT 1 FROM watches WHERE tenant = :tenant AND object_type > :objectType LIMIT 1;

-- name: history    one delivery with all of its attempts, a row for each: read at once, so that they fit together
SELECT d.id, d.tenant, d.watch_id, d.object_type, d.object_id, d.object_event, d.status, d.reason, d.due, d.created,
       d.attempts, d.fence, w.name AS watch_name, w.address AS watch_address, a.body,
       a.number, a.started, a.duration, a.method, a.address, a.request_headers, a.status_code, a.response_headers,
       a.response_body, a.reason AS attempt_reason, a.error_message
FROM deliveries AS d
JOIN watches AS w ON w.id = d.watch_id
LEFT JOIN attempts AS a ON a.delivery_id = d.id
WHERE d.tenant = :tenant AND d.id = :id
ORDER BY a.number;

-- name: events      what came after a line of the journal, as it was then
SELECT j.seq, j.kind, j.at, j.status, j.reason, j.next_attempt AS due, j.attempts,
       d.id, d.tenant, d.watch_id, d.object_type, d.object_id, d.object_event, d.created,
       w.name AS watch_name, w.address AS watch_address,
       a.started, a.duration, a.method, a.address, a.request_headers, a.status_code, a.response_headers, a.error_message
FROM journal AS j
JOIN deliveries AS d ON d.id = j.delivery_id
JOIN watches AS w ON w.id = d.watch_id
LEFT JOIN attempts AS a ON a.delivery_id = j.delivery_id AND a.number = j.attempts
WHERE j.tenant = :tenant AND j.seq > :after AND j.seq <= :until AND @filters@
ORDER BY j.seq;

-- name: last_seq
SELECT coalesce(max(seq), 0) FROM journal;

-- postgresql: marks  the numbers below which running transactions write no lines: see the trigger journal_mark
SELECT min(((CAST(classid AS BIGINT) << 32) | CAST(objid AS BIGINT)) & ((CAST(1 AS BIGINT) << 56) - 1)) AS mark
FROM pg_locks
WHERE locktype = 'advisory' AND objsubid = 1 AND (CAST(classid AS BIGINT) >> 24) = 74
AND database = (SELECT oid FROM pg_database WHERE datname = current_database());

-- name: first_seq
SELECT coalesce(min(seq), 0) FROM journal;

-- name: expired     deliveries that ended long ago, a few at a time
SELECT id FROM deliveries WHERE id < :before AND status <> 'pending' ORDER BY id LIMIT :limit;

-- name: drop_attempts
DELETE FROM attempts WHERE delivery_id = :id;

-- name: drop_journal  looks at the oldest lines only, so that it costs nothing while they are young
DELETE FROM journal WHERE seq IN (
    SELECT oldest.seq FROM (SELECT j.seq, j.at FROM journal AS j ORDER BY j.seq LIMIT :limit) AS oldest
    WHERE oldest.at < :before
) RETURNING seq;

-- name: drop_delivery
DELETE FROM deliveries WHERE id = :id;

-- name: drop_watches deleted ones that the log does not name any more
DELETE FROM watches WHERE deleted IS NOT NULL AND deleted < :before
AND NOT EXISTS (SELECT 1 FROM deliveries AS d WHERE d.watch_id = watches.id);
