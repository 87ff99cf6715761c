-- One reading of a whole directory, an import or a sweep, and what it has shown so far: it survives a kill.
CREATE TABLE snapshots (
    id       TEXT PRIMARY KEY,
    tenant   TEXT NOT NULL,
    type     TEXT NOT NULL,
    origin   TEXT NOT NULL,
    started  BIGINT NOT NULL,
    finished BIGINT
);

CREATE TABLE seen (
    snapshot_id TEXT NOT NULL REFERENCES snapshots (id),
    object_id   TEXT NOT NULL,
    PRIMARY KEY (snapshot_id, object_id)
);

CREATE INDEX resources_origin ON resources (tenant, type, origin, id) WHERE deleted = 0;
