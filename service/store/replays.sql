-- name: insert
INSERT INTO replays (job_id, tenant, watch_id, since, until, statuses, missing, phase, place, under_way, step)
VALUES (:job_id, :tenant, :watch_id, :since, :until, :statuses, :missing, :phase, :place, :under_way, :step);

-- name: all
SELECT job_id, tenant, watch_id, since, until, statuses, missing, phase, place, under_way, step
FROM replays ORDER BY job_id;

-- name: one
SELECT job_id, tenant, watch_id, since, until, statuses, missing, phase, place, under_way, step
FROM replays WHERE job_id = :job_id;

-- name: save        only from the step that its writer has seen
UPDATE replays SET phase = :phase, place = :place, under_way = :under_way, step = step + 1
WHERE job_id = :job_id AND step = :step RETURNING step;

-- name: give        what is under way now, after ``save``
UPDATE replays SET under_way = :under_way WHERE job_id = :job_id;

-- name: remove
DELETE FROM replays WHERE job_id = :job_id;

-- name: forget      some of what it has seen
DELETE FROM replay_seen WHERE job_id = :job_id AND change_id IN (
    SELECT s.change_id FROM replay_seen AS s WHERE s.job_id = :job_id ORDER BY s.change_id LIMIT :limit
) RETURNING change_id;

-- name: left_over   of replays that have ended
SELECT DISTINCT s.job_id FROM replay_seen AS s
WHERE NOT EXISTS (SELECT 1 FROM replays AS r WHERE r.job_id = s.job_id);

-- name: see
INSERT INTO replay_seen (job_id, change_id) VALUES (:job_id, :change_id)
ON CONFLICT (job_id, change_id) DO NOTHING;

-- name: deliveries  the next ones of a watch
SELECT id, change_id, object_event, status FROM deliveries
WHERE watch_id = :watch_id AND id > :after AND id < :before
ORDER BY id LIMIT :limit;

-- name: changes     the next ones of everybody, and whether the replay's watch has a delivery of each
SELECT n.id, n.tenant, n.type, n.object_id, n.event, s.change_id AS seen
FROM (
    SELECT id, tenant, type, object_id, event FROM changes
    WHERE id > :after AND id < :before ORDER BY id LIMIT :limit
) AS n
LEFT JOIN replay_seen AS s ON s.job_id = :job_id AND s.change_id = n.id
ORDER BY n.id;

-- name: telling     changes before some time that are not told to everyone yet
SELECT change_id FROM fan_outs WHERE tenant = :tenant AND change_id < :before LIMIT 1;

-- name: progress    of deliveries that were given to be sent
SELECT d.id, d.status, d.attempts, d.due FROM json_each(:ids) AS k JOIN deliveries AS d ON d.id = k.value;

-- name: behind      those that an earlier version of their resource is pending before; :lanes is [[watch, lane, version], ...]
SELECT k.value->>1 AS lane, k.value->>2 AS version
FROM json_each(:lanes) AS k
WHERE EXISTS (
    SELECT 1 FROM deliveries AS d
    WHERE d.watch_id = k.value->>0 AND d.lane = k.value->>1 AND d.status = 'pending'
    AND d.version < CAST(k.value->>2 AS BIGINT)
);
