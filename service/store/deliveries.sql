-- name: insert      one whose lane has another pending waits: with no due time, and in nobody's hands
WITH new (id, tenant, watch_id, change_id, object_type, object_id, object_event, version, lane, due, worker, single,
          created) AS (
    VALUES (:id, :tenant, :watch_id, :change_id, :object_type, :object_id, :object_event, CAST(:version AS BIGINT), :lane,
            CAST(:due AS BIGINT), :worker, CAST(:single AS BIGINT), CAST(:created AS BIGINT))
), placed AS MATERIALIZED (
    SELECT new.*, new.due IS NULL OR EXISTS (
        SELECT 1 FROM deliveries AS d
        WHERE d.watch_id = new.watch_id AND d.lane = new.lane AND d.status = 'pending'
    ) AS waits
    FROM new
)
INSERT INTO deliveries
    (id, tenant, watch_id, change_id, object_type, object_id, object_event, version, lane, status, due, worker, fence,
     single, created)
SELECT id, tenant, watch_id, change_id, object_type, object_id, object_event, version, lane, 'pending',
       CASE WHEN waits THEN NULL ELSE due END, CASE WHEN waits THEN NULL ELSE worker END,
       CASE WHEN waits OR worker IS NULL THEN 0 ELSE 1 END, single, created
FROM placed
RETURNING id, due;

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
);

-- name: advanced    what sending those takes that were just given their turn, and to this worker
SELECT d.id, d.watch_id, d.lane, d.fence, d.attempts, d.single, NULL AS body,
       c.id AS change_id, c.tenant, c.type, c.object_id, c.event, c.version, c.time, c.source, c.before, c.after, c.diff
FROM json_each(:lanes) AS k
JOIN deliveries AS d ON d.watch_id = k.value->>0 AND d.lane = k.value->>1 AND d.status = 'pending'
JOIN changes AS c ON c.id = d.change_id
WHERE d.worker = :worker AND d.due = :now;

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
WITH made (id, fence, number, started, duration, method, address, request_headers, body, status_code, response_headers,
           response_body, reason, error_message) AS (
    VALUES (:id, CAST(:fence AS BIGINT), CAST(:number AS BIGINT), CAST(:started AS BIGINT), CAST(:duration AS BIGINT),
            :method, :address, :request_headers, :body, CAST(:status_code AS BIGINT), :response_headers,
            :response_body, :reason, :error_message)
)
INSERT INTO attempts
    (delivery_id, number, started, duration, method, address, request_headers, body, status_code, response_headers,
     response_body, reason, error_message)
SELECT made.id, number, started, duration, method, address, request_headers, body, status_code, response_headers,
       response_body, made.reason, error_message
FROM made JOIN deliveries AS d ON d.id = made.id AND d.fence = made.fence;

-- name: settle      under the fence only: whoever lost the lease has nothing to say; a canceled one stays canceled
WITH made (id, fence, attempts, due, reason, status) AS (
    VALUES (:id, CAST(:fence AS BIGINT), CAST(:attempts AS BIGINT), CAST(:due AS BIGINT), :reason, :status)
)
UPDATE deliveries SET
    attempts = made.attempts,
    worker = NULL,
    due = CASE WHEN deliveries.status = 'pending' THEN made.due ELSE NULL END,
    reason = CASE WHEN deliveries.status = 'pending' THEN made.reason ELSE deliveries.reason END,
    status = CASE WHEN deliveries.status = 'pending' THEN made.status ELSE deliveries.status END
FROM made
WHERE deliveries.id = made.id AND deliveries.fence = made.fence;

-- name: journal       what has become of deliveries, as they are now
WITH told (id, fence, at, kind) AS (
    VALUES (:id, CAST(:fence AS BIGINT), CAST(:at AS BIGINT), :kind)
)
INSERT INTO journal (tenant, delivery_id, at, kind, status, reason, attempts, next_attempt)
SELECT d.tenant, d.id, told.at, told.kind, d.status, d.reason, d.attempts, d.due
FROM told JOIN deliveries AS d ON d.id = told.id AND d.fence = coalesce(told.fence, d.fence);

-- name: release     given back unsent
UPDATE deliveries SET worker = NULL
WHERE worker = :worker AND id IN (SELECT k.value FROM json_each(:ids) AS k);

-- name: free        what those have left behind who are no more; :workers is [id, ...]
UPDATE deliveries SET worker = NULL, fence = fence + 1
WHERE status = 'pending' AND worker IN (SELECT k.value FROM json_each(:workers) AS k)
RETURNING id;

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

-- name: take_again  the same of several, leased at once; :ids is [id, ...]
UPDATE deliveries
SET status = 'pending', reason = NULL, due = :now, lane = NULL, single = 1, worker = :worker, fence = fence + 1
WHERE id IN (SELECT k.value FROM json_each(:ids) AS k) AND status <> 'pending'
RETURNING id;

-- name: journal_again
INSERT INTO journal (tenant, delivery_id, at, kind, status, reason, attempts, next_attempt)
SELECT tenant, id, :now, 'status', status, reason, attempts, due
FROM deliveries WHERE id IN (SELECT k.value FROM json_each(:ids) AS k);

-- name: hurry       a pending one is sent now instead of later
UPDATE deliveries SET due = :now WHERE id = :id AND status = 'pending' AND worker IS NULL;
