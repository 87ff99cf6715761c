-- The upstream APIs that are polled. due: when one is to be looked at next. worker, lease_until and fence: whose turn
-- it is, until when, and how often that has changed; what a turn writes is taken only under its own fence. asked and
-- confirmed: what an operator wants of the next turn. hold_until: the upstream asked to be left alone.
CREATE TABLE sources (
    id          TEXT PRIMARY KEY,
    tenant      TEXT NOT NULL REFERENCES tenants (id),
    type        TEXT NOT NULL,
    status      TEXT NOT NULL CHECK (status IN ('active', 'paused')),
    spec        TEXT NOT NULL,
    sealed      TEXT,
    declared    TEXT,
    sweep       TEXT NOT NULL,
    due         BIGINT NOT NULL,
    hold_until  BIGINT NOT NULL DEFAULT 0,
    asked       INTEGER NOT NULL DEFAULT 0 CHECK (asked IN (0, 1)),
    confirmed   INTEGER NOT NULL DEFAULT 0 CHECK (confirmed IN (0, 1)),
    worker      TEXT,
    lease_until BIGINT NOT NULL DEFAULT 0,
    fence       BIGINT NOT NULL DEFAULT 0
);
CREATE INDEX sources_tenant ON sources (tenant, id);
CREATE INDEX sources_due ON sources (due) WHERE status = 'active';
