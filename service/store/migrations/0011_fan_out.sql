-- Changes that more watches hear of than one transaction should write deliveries for. fan_outs is the queue: portion is
-- the cursor, the next part of the audience that is to be told. An audience is who heard of a change when it was
-- committed; changes that are told to the same watches share one, for as long as ``uses`` says that one of them is open.
CREATE TABLE audiences (
    id       TEXT PRIMARY KEY,
    portions INTEGER NOT NULL CHECK (portions > 0),
    uses     BIGINT NOT NULL CHECK (uses >= 0)
);

CREATE TABLE audience_portions (
    audience_id TEXT NOT NULL REFERENCES audiences (id),
    number      INTEGER NOT NULL,
    watch_ids   TEXT NOT NULL,
    PRIMARY KEY (audience_id, number)
);

CREATE TABLE fan_outs (
    change_id   TEXT PRIMARY KEY,
    tenant      TEXT NOT NULL,
    object_type TEXT NOT NULL,
    object_id   TEXT NOT NULL,
    version     BIGINT NOT NULL,
    audience_id TEXT NOT NULL REFERENCES audiences (id),
    portion     INTEGER NOT NULL DEFAULT 0
);
CREATE UNIQUE INDEX fan_outs_resource ON fan_outs (tenant, object_type, object_id, version);
CREATE INDEX fan_outs_tenant ON fan_outs (tenant, change_id);
