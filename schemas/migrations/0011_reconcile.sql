-- Reconciliation of the pipe: each event names the one before it, so that one that is gone
-- is missed by its successor, and whoever publishes without an archive says so.

ALTER TABLE outbox
    -- Outbox id of the aggregate's event before this one. 0: it is the first, a copy, or was
    -- written by a program that did not say.
    ADD COLUMN after_id BIGINT UNSIGNED NOT NULL DEFAULT 0,
    ALGORITHM = INSTANT;

ALTER TABLE outbox_blocked
    ADD COLUMN after_id BIGINT UNSIGNED NOT NULL DEFAULT 0,
    ALGORITHM = INSTANT;

ALTER TABLE outbox_archive
    ADD COLUMN after_id BIGINT UNSIGNED NOT NULL DEFAULT 0,
    ALGORITHM = INSTANT;

-- When a relay last ran that keeps no archive. What was written until then may have been
-- published without a trace.
CREATE TABLE outbox_unarchived (
    -- There is one row at most.
    only_row TINYINT UNSIGNED NOT NULL DEFAULT 1,
    last_at  DATETIME(6) NOT NULL,
    PRIMARY KEY (only_row),
    CONSTRAINT outbox_unarchived_only_row CHECK (only_row = 1)
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;
