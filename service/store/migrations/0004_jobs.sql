-- Work that takes longer than a call, such as an import, and how far it is.
CREATE TABLE jobs (
    id       TEXT PRIMARY KEY,
    tenant   TEXT NOT NULL,
    kind     TEXT NOT NULL,
    subject  TEXT NOT NULL,
    state    TEXT NOT NULL CHECK (state IN ('running', 'succeeded', 'failed', 'held')),
    done     BIGINT NOT NULL CHECK (done >= 0),
    total    BIGINT,
    detail   TEXT,
    result   TEXT NOT NULL,
    started  BIGINT NOT NULL,
    finished BIGINT,
    CHECK ((state = 'running') = (finished IS NULL))
);
CREATE INDEX jobs_tenant ON jobs (tenant, id);
CREATE UNIQUE INDEX jobs_running ON jobs (tenant, kind, subject) WHERE state = 'running';
