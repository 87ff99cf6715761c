-- What the log is asked for seldom and must be found in all of it. Each index leaves out what is common, so that a
-- delivery that is taken at its first attempt costs none of them anything.
CREATE INDEX deliveries_unwell ON deliveries (tenant, status, id) WHERE status IN ('failed', 'canceled');
CREATE INDEX deliveries_unwell_watch ON deliveries (watch_id, status, id) WHERE status IN ('failed', 'canceled');
CREATE INDEX deliveries_reason ON deliveries (tenant, reason, id) WHERE reason IS NOT NULL;
CREATE INDEX deliveries_event ON deliveries (tenant, object_event, id) WHERE object_event <> 'updated';
CREATE INDEX attempts_code ON attempts (status_code, delivery_id) WHERE status_code <> 200;
CREATE INDEX watches_type ON watches (tenant, object_type, id);

-- Whether anything leans on a change: retention asks it of each old one, and a resource has many deliveries.
CREATE INDEX deliveries_change ON deliveries (change_id);
