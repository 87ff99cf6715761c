-- Keys of more algorithms, and keys that follow each other. successor: the key that one was rotated to; expires: until
-- when it signs beside it. revision: the watches' counter at the last change of a key, so that other processes learn
-- of it. last_used: to the hour. (A CHECK cannot be changed: the tables are made anew, and take the old ones' names.)
CREATE TABLE signing_keys (
    id        TEXT PRIMARY KEY,
    tenant    TEXT NOT NULL REFERENCES tenants (id),
    name      TEXT,
    algorithm TEXT NOT NULL CHECK (algorithm IN ('hmac-sha256', 'ed25519', 'ecdsa-p256-sha256')),
    sealed    TEXT NOT NULL,
    created   BIGINT NOT NULL,
    successor TEXT REFERENCES signing_keys (id),
    expires   BIGINT,
    last_used BIGINT,
    revision  BIGINT NOT NULL,
    CHECK (successor IS NULL OR expires IS NOT NULL)
);
INSERT INTO signing_keys (id, tenant, name, algorithm, sealed, created, revision)
SELECT id, tenant, name, algorithm, sealed, created, 0 FROM crypto_keys;

CREATE TABLE watch_signing_keys (
    watch_id TEXT NOT NULL REFERENCES watches (id),
    key_id   TEXT NOT NULL REFERENCES signing_keys (id),
    PRIMARY KEY (watch_id, key_id)
);
INSERT INTO watch_signing_keys (watch_id, key_id) SELECT watch_id, key_id FROM watch_keys;

DROP TABLE watch_keys;
DROP TABLE crypto_keys;
ALTER TABLE signing_keys RENAME TO crypto_keys;
ALTER TABLE watch_signing_keys RENAME TO watch_keys;
CREATE INDEX crypto_keys_tenant ON crypto_keys (tenant, id);
CREATE INDEX crypto_keys_revision ON crypto_keys (revision);
CREATE INDEX crypto_keys_successor ON crypto_keys (successor);
CREATE INDEX watch_keys_key ON watch_keys (key_id);
