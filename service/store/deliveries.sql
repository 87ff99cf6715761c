-- name: busy_lanes  lanes with a pending delivery; :lanes is [[watch, lane], ...]
SELECT k.value->>0 AS watch_id, k.value->>1 AS lane
FROM json_each(:lanes) AS k
WHERE EXISTS (
    SELECT 1 FROM deliveries AS d
    WHERE d.watch_id = k.value->>0 AND d.lane = k.value->>1 AND d.status = 'pending'
);

-- name: insert
INSERT INTO deliveries
    (id, tenant, watch_id, change_id, object_type, object_id, object_event, version, lane, status, due, worker, fence,
     single, created)
VALUES
    (:id, :tenant, :watch_id, :change_id, :object_type, :object_id, :object_event, :version, :lane, 'pending', :due,
     :worker, :fence, :single, :created);

-- name: claim       the oldest due ones of one watch
UPDATE deliveries SET worker = :worker, fence = fence + 1
WHERE id IN (
    SELECT id FROM deliveries
    WHERE watch_id = :watch_id AND status = 'pending' AND worker IS NULL AND due IS NOT NULL AND due <= :now
    ORDER BY due, id LIMIT :limit
)
RETURNING id;

-- postgresql: claim passing over those that another replica is about to claim
UPDATE deliveries SET worker = :worker, fence = fence + 1
WHERE id = ANY (ARRAY(
    SELECT id FROM deliveries
    WHERE watch_id = :watch_id AND status = 'pending' AND worker IS NULL AND due IS NOT NULL AND due <= :now
    ORDER BY due, id LIMIT :limit FOR NO KEY UPDATE SKIP LOCKED
))
RETURNING id;

-- name: next_due
SELECT min(due) AS due FROM deliveries
WHERE watch_id = :watch_id AND status = 'pending' AND worker IS NULL AND due IS NOT NULL;

-- name: advance     the head of each lane that has lost the one before it; :lanes is [[watch, lane], ...]
UPDATE deliveries SET due = :now, worker = :worker, fence = fence + 1
WHERE due IS NULL AND status = 'pending' AND id IN (
    SELECT (
        SELECT d.id FROM deliveries AS d
        WHERE d.watch_id = k.value->>0 AND d.lane = k.value->>1 AND d.status = 'pending'
        ORDER BY d.version LIMIT 1
    )
    FROM json_each(:lanes) AS k
)
RETURNING id;

-- name: jobs        what sending these takes; :ids is [id, ...]
SELECT d.id, d.watch_id, d.lane, d.fence, d.attempts, d.single, (
           SELECT a.body FROM attempts AS a WHERE a.delivery_id = d.id AND a.body IS NOT NULL ORDER BY a.number LIMIT 1
       ) AS body,
       c.id AS change_id, c.tenant, c.type, c.object_id, c.event, c.version, c.time, c.source, c.before, c.after, c.diff
FROM json_each(:ids) AS k
JOIN deliveries AS d ON d.id = k.value
JOIN changes AS c ON c.id = d.change_id
ORDER BY d.due, d.id;

-- name: save_attempt
INSERT INTO attempts
    (delivery_id, number, started, duration, method, address, request_headers, body, status_code, response_headers,
     response_body, reason, error_message)
SELECT :id, :number, :started, :duration, :method, :address, :request_headers, :body, :status_code,
       :response_headers, :response_body, :reason, :error_message
WHERE EXISTS (SELECT 1 FROM deliveries WHERE id = :id AND fence = :fence);

-- postgresql: save_attempt  for many at once
INSERT INTO attempts
    (delivery_id, number, started, duration, method, address, request_headers, body, status_code, response_headers,
     response_body, reason, error_message)
SELECT u.id, u.number, u.started, u.duration, u.method, u.address, u.request_headers, u.body, u.status_code,
       u.response_headers, u.response_body, u.reason, u.error_message
FROM unnest(
    CAST(:id AS TEXT[]), CAST(:fence AS BIGINT[]), CAST(:number AS INTEGER[]), CAST(:started AS BIGINT[]),
    CAST(:duration AS BIGINT[]), CAST(:method AS TEXT[]), CAST(:address AS TEXT[]), CAST(:request_headers AS TEXT[]),
    CAST(:body AS TEXT[]), CAST(:status_code AS INTEGER[]), CAST(:response_headers AS TEXT[]),
    CAST(:response_body AS TEXT[]), CAST(:reason AS TEXT[]), CAST(:error_message AS TEXT[])
) AS u (id, fence, number, started, duration, method, address, request_headers, body, status_code, response_headers,
        response_body, reason, error_message)
JOIN deliveries AS d ON d.id = u.id AND d.fence = u.fence;

-- name: settle      under the fence only: whoever lost the lease has nothing to say; a canceled one stays canceled
UPDATE deliveries SET
    attempts = :attempts,
    worker = NULL,
    due = CASE WHEN status = 'pending' THEN :due ELSE NULL END,
    reason = CASE WHEN status = 'pending' THEN :reason ELSE reason END,
    status = CASE WHEN status = 'pending' THEN :status ELSE status END
WHERE id = :id AND fence = :fence;

-- postgresql: settle  many at once
UPDATE deliveries AS d SET
    attempts = u.attempts,
    worker = NULL,
    due = CASE WHEN d.status = 'pending' THEN u.due ELSE NULL END,
    reason = CASE WHEN d.status = 'pending' THEN u.reason ELSE d.reason END,
    status = CASE WHEN d.status = 'pending' THEN u.status ELSE d.status END
FROM unnest(
    CAST(:id AS TEXT[]), CAST(:fence AS BIGINT[]), CAST(:attempts AS INTEGER[]), CAST(:due AS BIGINT[]),
    CAST(:reason AS TEXT[]), CAST(:status AS TEXT[])
) AS u (id, fence, attempts, due, reason, status)
WHERE d.id = u.id AND d.fence = u.fence;

-- name: journal_attempt
INSERT INTO journal (tenant, delivery_id, at, kind, status, reason, attempts, next_attempt)
SELECT tenant, id, :now, :kind, status, reason, attempts, due FROM deliveries WHERE id = :id AND fence = :fence;

-- postgresql: journal_attempt  many at once
INSERT INTO journal (tenant, delivery_id, at, kind, status, reason, attempts, next_attempt)
SELECT d.tenant, d.id, u.now, u.kind, d.status, d.reason, d.attempts, d.due
FROM unnest(CAST(:id AS TEXT[]), CAST(:fence AS BIGINT[]), CAST(:now AS BIGINT[]), CAST(:kind AS TEXT[]))
    AS u (id, fence, now, kind)
JOIN deliveries AS d ON d.id = u.id AND d.fence = u.fence;

-- name: journal_now
INSERT INTO journal (tenant, delivery_id, at, kind, status, reason, attempts, next_attempt)
VALUES (:tenant, :delivery_id, :at, :kind, :status, :reason, :attempts, :next_attempt);

-- name: release     given back unsent
UPDATE deliveries SET worker = NULL
WHERE worker = :worker AND id IN (SELECT k.value FROM json_each(:ids) AS k);

-- name: take_over   what a worker that is gone has left behind
UPDATE deliveries SET worker = NULL, fence = fence + 1
WHERE status = 'pending' AND worker IS NOT NULL AND worker <> :worker;

-- name: backlog     each watch that has claimable deliveries, and when the first is due: one index seek a watch
WITH RECURSIVE waiting (watch_id) AS (
    SELECT min(watch_id) FROM deliveries WHERE status = 'pending' AND worker IS NULL AND due IS NOT NULL
    UNION ALL
    SELECT (
        SELECT min(d.watch_id) FROM deliveries AS d
        WHERE d.status = 'pending' AND d.worker IS NULL AND d.due IS NOT NULL AND d.watch_id > waiting.watch_id
    )
    FROM waiting WHERE waiting.watch_id IS NOT NULL
)
SELECT w.watch_id, (
    SELECT min(d.due) FROM deliveries AS d
    WHERE d.watch_id = w.watch_id AND d.status = 'pending' AND d.worker IS NULL AND d.due IS NOT NULL
) AS due
FROM waiting AS w WHERE w.watch_id IS NOT NULL;

-- name: journal_cancel
INSERT INTO journal (tenant, delivery_id, at, kind, status, reason, attempts, next_attempt)
SELECT tenant, id, :now, 'status', 'canceled', 'canceled', attempts, NULL
FROM deliveries WHERE watch_id = :watch_id AND status = 'pending';

-- name: cancel
UPDATE deliveries SET status = 'canceled', reason = 'canceled', due = NULL, worker = NULL
WHERE watch_id = :watch_id AND status = 'pending';

-- name: again       one more attempt of a delivery that has ended, outside its lane
UPDATE deliveries SET status = 'pending', reason = NULL, due = :now, lane = NULL, single = 1, worker = NULL
WHERE id = :id AND status <> 'pending';

-- name: hurry       a pending one is sent now instead of later
UPDATE deliveries SET due = :now WHERE id = :id AND status = 'pending' AND worker IS NULL;
