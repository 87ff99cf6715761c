-- name: of          :ids is [watch id, ...]
SELECT h.watch_id, h.failures, h.since, h.last_success
FROM json_each(:ids) AS k
JOIN watch_health AS h ON h.watch_id = k.value;

-- name: ailing
SELECT watch_id, failures, since, last_success FROM watch_health WHERE failures > 0;

-- name: locked      a write that changes nothing keeps others away until the transaction ends, from the first one on
INSERT INTO watch_health (watch_id) SELECT k.value FROM json_each(:ids) AS k WHERE true ORDER BY k.value
ON CONFLICT (watch_id) DO UPDATE SET failures = watch_health.failures
RETURNING watch_id, failures, since, last_success;

-- name: save
INSERT INTO watch_health (watch_id, failures, since, last_success)
VALUES (:watch_id, :failures, :since, :last_success)
ON CONFLICT (watch_id) DO UPDATE SET
    failures = excluded.failures, since = excluded.since, last_success = excluded.last_success;

-- name: forgive
UPDATE watch_health SET failures = 0, since = NULL WHERE watch_id = :watch_id AND failures > 0;

-- name: forget
DELETE FROM watch_health WHERE watch_id = :watch_id;

-- name: next_notice
INSERT INTO watch_health (watch_id, notices) VALUES (:watch_id, 1)
ON CONFLICT (watch_id) DO UPDATE SET notices = watch_health.notices + 1
RETURNING notices;
