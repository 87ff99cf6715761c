-- Changes get a place in the order in which they are committed, so that whoever reads them page by page never passes
-- one over. seq counts up as rows are written; but of two transactions at once the later number may be committed
-- first. So tx, the transaction's own number, goes before it, and a reader stays below the horizon: the first
-- transaction that is still under way. Where only one writes at a time there is nothing to tell apart, and tx is 0.
CREATE TABLE changes_in_order (
    seq       @serial@,
-- on sqlite
    tx        INTEGER NOT NULL DEFAULT 0,
-- on postgresql
    tx        BIGINT NOT NULL DEFAULT (pg_current_xact_id()::text::bigint),
-- on both
    id        TEXT NOT NULL UNIQUE,
    tenant    TEXT NOT NULL,
    type      TEXT NOT NULL,
    object_id TEXT NOT NULL,
    event     TEXT NOT NULL CHECK (event IN ('created', 'updated', 'deleted', 'test')),
    version   BIGINT NOT NULL CHECK (version >= 0),
    time      BIGINT NOT NULL,
    source    TEXT NOT NULL,
    before    TEXT,
    after     TEXT,
    diff      TEXT NOT NULL,
    CHECK (before IS NOT NULL OR after IS NOT NULL)
);
INSERT INTO changes_in_order (id, tenant, type, object_id, event, version, time, source, before, after, diff)
SELECT id, tenant, type, object_id, event, version, time, source, before, after, diff FROM changes ORDER BY id;
DROP TABLE changes;
ALTER TABLE changes_in_order RENAME TO changes;
CREATE UNIQUE INDEX changes_versions ON changes (tenant, type, object_id, version) WHERE event <> 'test';
CREATE INDEX changes_feed ON changes (tenant, tx, seq, type) WHERE event <> 'test';
-- on sqlite
CREATE VIEW horizon AS SELECT 9223372036854775807 AS tx;
-- on postgresql
CREATE VIEW horizon AS SELECT pg_snapshot_xmin(pg_current_snapshot())::text::bigint AS tx;
-- on both

-- The newest change of each tenant that retention has dropped: who is not past it has missed something.
CREATE TABLE forgotten (
    tenant TEXT PRIMARY KEY,
    tx     BIGINT NOT NULL,
    seq    BIGINT NOT NULL,
    time   BIGINT NOT NULL
);

-- The updates that touched none of the fields of some watches: of how many, and the ids of some (JSON).
CREATE TABLE filtered (
    change_id TEXT PRIMARY KEY,
    watches   BIGINT NOT NULL CHECK (watches > 0),
    ids       TEXT NOT NULL
);

-- Answers to requests with an Idempotency-Key. id: a digest of tenant, route and key.
CREATE TABLE kept_answers (
    id      TEXT PRIMARY KEY,
    created BIGINT NOT NULL,
    sealed  TEXT NOT NULL
);
CREATE INDEX kept_answers_created ON kept_answers (created);
