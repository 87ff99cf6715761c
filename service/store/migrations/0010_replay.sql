-- A job may be canceled.
CREATE TABLE jobs_and_canceled (
    id       TEXT PRIMARY KEY,
    tenant   TEXT NOT NULL,
    kind     TEXT NOT NULL,
    subject  TEXT NOT NULL,
    state    TEXT NOT NULL CHECK (state IN ('running', 'succeeded', 'failed', 'held', 'canceled')),
    done     BIGINT NOT NULL CHECK (done >= 0),
    total    BIGINT,
    detail   TEXT,
    result   TEXT NOT NULL,
    started  BIGINT NOT NULL,
    finished BIGINT,
    worker   TEXT,
    CHECK ((state = 'running') = (finished IS NULL))
);
INSERT INTO jobs_and_canceled (id, tenant, kind, subject, state, done, total, detail, result, started, finished, worker)
SELECT id, tenant, kind, subject, state, done, total, detail, result, started, finished, worker FROM jobs;
DROP TABLE jobs;
ALTER TABLE jobs_and_canceled RENAME TO jobs;
CREATE INDEX jobs_tenant ON jobs (tenant, id);
CREATE UNIQUE INDEX jobs_running ON jobs (tenant, kind, subject) WHERE state = 'running';

-- What a replay that is running has still to do. phase and place: where it reads on. under_way: what it has given to
-- be sent and not heard of yet (JSON, [delivery id, attempts before]). step: goes up with each write, and a write is
-- taken only from the step that its writer has seen.
CREATE TABLE replays (
    job_id    TEXT PRIMARY KEY,
    tenant    TEXT NOT NULL,
    watch_id  TEXT NOT NULL,
    since     BIGINT,
    until     BIGINT NOT NULL,
    statuses  TEXT NOT NULL,
    missing   INTEGER NOT NULL CHECK (missing IN (0, 1)),
    phase     TEXT NOT NULL CHECK (phase IN ('plan', 'again', 'missing')),
    place     TEXT NOT NULL,
    under_way TEXT NOT NULL,
    step      BIGINT NOT NULL
);

-- The changes that a replay's watch has a delivery of; what is left is missing.
CREATE TABLE replay_seen (
    job_id    TEXT NOT NULL,
    change_id TEXT NOT NULL,
    PRIMARY KEY (job_id, change_id)
);
