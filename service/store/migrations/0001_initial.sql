-- The whole state of the service. Times are milliseconds since the epoch, JSON is text, and what must always
-- hold is a CHECK or a unique index, so that no path through the code can break it.

CREATE TABLE meta (
    name  TEXT PRIMARY KEY,
    value TEXT NOT NULL
);
INSERT INTO meta (name, value) VALUES ('watch_revision', '0');

CREATE TABLE tenants (
    id      TEXT PRIMARY KEY,
    created BIGINT NOT NULL
);

CREATE TABLE api_keys (
    id      TEXT PRIMARY KEY,
    tenant  TEXT NOT NULL REFERENCES tenants (id),
    name    TEXT,
    role    TEXT NOT NULL CHECK (role IN ('admin', 'agent', 'operator')),
    hash    TEXT NOT NULL UNIQUE,
    created BIGINT NOT NULL
);
CREATE INDEX api_keys_tenant ON api_keys (tenant, id);

CREATE TABLE crypto_keys (
    id        TEXT PRIMARY KEY,
    tenant    TEXT NOT NULL REFERENCES tenants (id),
    name      TEXT,
    algorithm TEXT NOT NULL CHECK (algorithm IN ('hmac-sha256')),
    sealed    TEXT NOT NULL,
    created   BIGINT NOT NULL
);
CREATE INDEX crypto_keys_tenant ON crypto_keys (tenant, id);

CREATE TABLE resources (
    tenant   TEXT NOT NULL,
    type     TEXT NOT NULL,
    id       TEXT NOT NULL,
    version  BIGINT NOT NULL CHECK (version > 0),
    origin   TEXT NOT NULL,
    updated  BIGINT NOT NULL,
    deleted  INTEGER NOT NULL CHECK (deleted IN (0, 1)),
    document TEXT,
    PRIMARY KEY (tenant, type, id),
    CHECK ((deleted = 1) = (document IS NULL))
);

CREATE TABLE identities (
    tenant    TEXT NOT NULL,
    type      TEXT NOT NULL,
    member    TEXT NOT NULL,
    value     TEXT NOT NULL,
    object_id TEXT NOT NULL,
    PRIMARY KEY (tenant, type, member, value)
);

CREATE TABLE changes (
    id        TEXT PRIMARY KEY,
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
CREATE UNIQUE INDEX changes_versions ON changes (tenant, type, object_id, version) WHERE event <> 'test';

CREATE TABLE watches (
    id          TEXT PRIMARY KEY,
    tenant      TEXT NOT NULL REFERENCES tenants (id),
    object_type TEXT NOT NULL,
    status      TEXT NOT NULL CHECK (status IN ('enabled', 'disabled')),
    name        TEXT,
    address     TEXT NOT NULL,
    spec        TEXT NOT NULL,
    sealed      TEXT,
    created     BIGINT NOT NULL,
    updated     BIGINT NOT NULL,
    deleted     BIGINT,
    hold_until  BIGINT NOT NULL DEFAULT 0,
    revision    BIGINT NOT NULL
);
CREATE INDEX watches_tenant ON watches (tenant, id) WHERE deleted IS NULL;
CREATE INDEX watches_revision ON watches (revision);

CREATE TABLE watch_keys (
    watch_id TEXT NOT NULL REFERENCES watches (id),
    key_id   TEXT NOT NULL REFERENCES crypto_keys (id),
    PRIMARY KEY (watch_id, key_id)
);
CREATE INDEX watch_keys_key ON watch_keys (key_id);

-- due: when a pending delivery may be sent; NULL while an earlier one of its lane (watch and resource) is pending.
-- worker and fence: who holds it, and how often it has changed hands; an outcome is settled only under the same fence.
CREATE TABLE deliveries (
    id           TEXT PRIMARY KEY,
    tenant       TEXT NOT NULL,
    watch_id     TEXT NOT NULL REFERENCES watches (id),
    change_id    TEXT NOT NULL,
    object_type  TEXT NOT NULL,
    object_id    TEXT NOT NULL,
    object_event TEXT NOT NULL CHECK (object_event IN ('created', 'updated', 'deleted', 'test')),
    version      BIGINT NOT NULL,
    lane         TEXT,
    status       TEXT NOT NULL CHECK (status IN ('pending', 'succeeded', 'failed', 'canceled')),
    reason       TEXT,
    due          BIGINT,
    worker       TEXT,
    fence        BIGINT NOT NULL DEFAULT 0,
    attempts     INTEGER NOT NULL DEFAULT 0,
    single       INTEGER NOT NULL DEFAULT 0 CHECK (single IN (0, 1)),
    created      BIGINT NOT NULL,
    CHECK (status = 'pending' OR (due IS NULL AND worker IS NULL)),
    CHECK (status <> 'failed' OR reason IS NOT NULL),
    CHECK (worker IS NULL OR due IS NOT NULL)
);
CREATE INDEX deliveries_tenant ON deliveries (tenant, id);
CREATE INDEX deliveries_watch ON deliveries (watch_id, id);
CREATE INDEX deliveries_object ON deliveries (tenant, object_id, id);
CREATE INDEX deliveries_lane ON deliveries (watch_id, lane, version) WHERE status = 'pending';
CREATE INDEX deliveries_claimable ON deliveries (watch_id, due, id) WHERE status = 'pending' AND worker IS NULL AND due IS NOT NULL;

-- body: as it was first rendered, in the row of the attempt that rendered it; every later one sends the same.
CREATE TABLE attempts (
    delivery_id      TEXT NOT NULL,
    number           INTEGER NOT NULL CHECK (number > 0),
    started          BIGINT NOT NULL,
    duration         BIGINT NOT NULL,
    method           TEXT NOT NULL,
    address          TEXT NOT NULL,
    request_headers  TEXT NOT NULL,
    body             TEXT,
    status_code      INTEGER,
    response_headers TEXT NOT NULL,
    response_body    TEXT NOT NULL,
    reason           TEXT,
    error_message    TEXT,
    PRIMARY KEY (delivery_id, number)
);

-- One row for each new delivery, attempt and change of status: what a tail reads, in the order of commits.
CREATE TABLE journal (
    seq          @serial@,
    tenant       TEXT NOT NULL,
    delivery_id  TEXT NOT NULL,
    at           BIGINT NOT NULL,
    kind         TEXT NOT NULL CHECK (kind IN ('created', 'attempt', 'status')),
    status       TEXT NOT NULL,
    reason       TEXT,
    attempts     INTEGER NOT NULL,
    next_attempt BIGINT
);
