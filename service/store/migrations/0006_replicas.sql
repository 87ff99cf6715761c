-- The processes that serve this database, as long as they live: one that has not been heard of for too long is taken
-- out, and in the same transaction what it held is free for the others. A database of one process has none.
CREATE TABLE replicas (
    id      TEXT PRIMARY KEY,
    expires BIGINT NOT NULL
);

-- What one process does at a time, whichever it is: until then, unless it is given back before.
CREATE TABLE locks (
    name    TEXT PRIMARY KEY,
    worker  TEXT NOT NULL,
    expires BIGINT NOT NULL
);

-- Access tokens, sealed, that one process has obtained for all. owner: the watch or the source.
CREATE TABLE tokens (
    owner      TEXT PRIMARY KEY,
    sealed     TEXT NOT NULL,
    good_until BIGINT NOT NULL
);

-- Whose job it is: should that process end, the job has failed.
ALTER TABLE jobs ADD COLUMN worker TEXT;

-- How often a key was made or revoked: who has keys in memory looks whether it is still the same.
INSERT INTO meta (name, value) VALUES ('api_key_revision', '0');

-- on postgresql
-- The check of each delivery would lock its watch's row, in turn with every other writer; watches with deliveries are
-- never deleted, so that it finds nothing.
ALTER TABLE deliveries DROP CONSTRAINT deliveries_watch_id_fkey;

-- Much of these tables is rewritten soon after it was written: look at them often, and a little at a time.
ALTER TABLE deliveries SET (fillfactor = 80, autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_cost_delay = 1);
ALTER TABLE resources SET (fillfactor = 80, autovacuum_vacuum_scale_factor = 0.05);
ALTER TABLE journal SET (autovacuum_vacuum_scale_factor = 0.05);
ALTER TABLE attempts SET (autovacuum_vacuum_scale_factor = 0.05);

-- A tail must not pass a line that is not committed yet. Numbers are handed out before a commit, so that a smaller one
-- may become visible later: each statement that writes lines first leaves a mark, for the time of its transaction,
-- below which all numbers were handed out before it. The mark is an advisory lock that nobody waits for: 0x4A in the
-- highest byte, below it the mark. Who reads lines stops at the lowest one: see journal.last_seq.
CREATE FUNCTION journal_mark() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_advisory_xact_lock_shared((74::bigint << 56) | (SELECT last_value - 1 FROM journal_seq_seq));
    RETURN NULL;
END
$$;
CREATE TRIGGER journal_mark BEFORE INSERT ON journal FOR EACH STATEMENT EXECUTE FUNCTION journal_mark();
