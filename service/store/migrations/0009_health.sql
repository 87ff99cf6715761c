-- How each watch's receiver does, once it has been attempted. failures: attempts in a row that have failed, since when.
-- last_success: to the minute, for it is not worth a write for each delivery. notices: how many other watches were told
-- of this one; the next one's version.
CREATE TABLE watch_health (
    watch_id     TEXT PRIMARY KEY,
    failures     BIGINT NOT NULL DEFAULT 0 CHECK (failures >= 0),
    since        BIGINT,
    last_success BIGINT,
    notices      BIGINT NOT NULL DEFAULT 0,
    CHECK ((failures = 0) = (since IS NULL))
);
CREATE INDEX watch_health_failing ON watch_health (watch_id) WHERE failures > 0;

-- What is told of a watch itself joins the events of changes and deliveries. SQLite can change the CHECK of a table only
-- by copying all of it, or so (https://www.sqlite.org/lang_altertable.html, 7): the rows stay where they are. The CREATE
-- above has already made other connections read the schema again.
-- on sqlite
PRAGMA writable_schema = ON;
UPDATE sqlite_schema
SET sql = replace(
    sql,
    '(''created'', ''updated'', ''deleted'', ''test'')',
    '(''created'', ''updated'', ''deleted'', ''test'', ''disabled'', ''failing'', ''recovered'', ''authorization'', ''exhausted'')'
)
WHERE type = 'table' AND name IN ('changes', 'deliveries');
PRAGMA writable_schema = RESET;
-- on postgresql
ALTER TABLE changes DROP CONSTRAINT IF EXISTS changes_event_check;
ALTER TABLE changes DROP CONSTRAINT IF EXISTS changes_in_order_event_check;
ALTER TABLE changes ADD CONSTRAINT changes_events CHECK (
    event IN ('created', 'updated', 'deleted', 'test', 'disabled', 'failing', 'recovered', 'authorization', 'exhausted')
);
ALTER TABLE deliveries DROP CONSTRAINT IF EXISTS deliveries_object_event_check;
ALTER TABLE deliveries ADD CONSTRAINT deliveries_events CHECK (
    object_event IN ('created', 'updated', 'deleted', 'test', 'disabled', 'failing', 'recovered', 'authorization', 'exhausted')
);
-- on both
