-- Owners who are asked for their consent (OAuth2). id: the SHA-256 of the state that the provider hands back; it is
-- good once, so a row that was used stays a while, to be recognised. sealed: what only this flow may know of itself.
CREATE TABLE authorizations (
    id       TEXT PRIMARY KEY,
    tenant   TEXT NOT NULL,
    watch_id TEXT NOT NULL REFERENCES watches (id),
    sealed   TEXT,
    expires  BIGINT NOT NULL,
    used     BIGINT,
    CHECK ((used IS NULL) = (sealed IS NOT NULL))
);
CREATE INDEX authorizations_expires ON authorizations (expires);

-- Receivers that are asked for theirs. due: when one is asked next; NULL once it has answered. worker, lease_until and
-- fence: who asks, until when, and how often that has changed; an answer is taken only under its own fence.
CREATE TABLE verifications (
    watch_id    TEXT PRIMARY KEY REFERENCES watches (id),
    due         BIGINT,
    attempts    INTEGER NOT NULL DEFAULT 0,
    worker      TEXT,
    lease_until BIGINT NOT NULL DEFAULT 0,
    fence       BIGINT NOT NULL DEFAULT 0
);
CREATE INDEX verifications_due ON verifications (due) WHERE due IS NOT NULL;
