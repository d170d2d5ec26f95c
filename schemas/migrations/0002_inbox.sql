-- What each consumer group has done with each event.

CREATE TABLE consumer_groups (
    group_no SMALLINT UNSIGNED NOT NULL AUTO_INCREMENT,
    name     VARCHAR(64) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
    PRIMARY KEY (group_no),
    UNIQUE KEY consumer_groups_name (name)
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;

-- `event_day` follows from the event id's own timestamp, never from the clock:
-- MySQL wants the partition column in the key, and an event that is redelivered on
-- another day has to meet the row it left.
CREATE TABLE inbox (
    event_day   DATE NOT NULL,
    group_no    SMALLINT UNSIGNED NOT NULL,
    event_id    BINARY(16) NOT NULL,
    state       ENUM('applied', 'dead', 'parked', 'discarded') NOT NULL,
    recorded_at DATETIME(3) NOT NULL DEFAULT CURRENT_TIMESTAMP(3),
    PRIMARY KEY (group_no, event_id, event_day)
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin
PARTITION BY RANGE COLUMNS (event_day) (PARTITION pmax VALUES LESS THAN (MAXVALUE));

-- Locked first by every transaction that applies, dead-letters or replays a record
-- of the partition: an owner that lost the partition and does not know it yet can
-- never work beside the new one.
CREATE TABLE consumer_partitions (
    group_no     SMALLINT UNSIGNED NOT NULL,
    topic        VARCHAR(249) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
    partition_no INT NOT NULL,
    PRIMARY KEY (group_no, topic, partition_no)
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;

CREATE TABLE dead_letters (
    letter_id       BINARY(16) NOT NULL,
    group_no        SMALLINT UNSIGNED NOT NULL,
    event_id        BINARY(16) NOT NULL,
    event_day       DATE NOT NULL,
    -- NULL when the bytes could not be read that far.
    event_type      VARCHAR(96) CHARACTER SET ascii COLLATE ascii_bin NULL,
    -- Where the record came from on its public topic, whatever replays came since.
    topic           VARCHAR(249) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
    partition_no    INT NOT NULL,
    kafka_offset    BIGINT NOT NULL,
    kafka_timestamp DATETIME(3) NOT NULL,
    -- The record, byte for byte.
    record_key      MEDIUMBLOB NULL,
    record_value    MEDIUMBLOB NULL,
    record_headers  MEDIUMBLOB NOT NULL,
    disposition     ENUM('poison', 'rejected', 'exhausted', 'parked') NOT NULL,
    error_class     VARCHAR(64) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
    error           VARCHAR(2048) NOT NULL,
    -- Groups letters of one cause.
    fingerprint     BINARY(16) NOT NULL,
    attempts        INT UNSIGNED NOT NULL,
    first_failed_at DATETIME(6) NOT NULL,
    last_failed_at  DATETIME(6) NOT NULL,
    state           ENUM('open', 'replaying', 'resolved', 'discarded', 'archived', 'quarantined') NOT NULL,
    -- The current replay attempt; a record of an older attempt is not applied.
    replay_attempt  INT UNSIGNED NOT NULL DEFAULT 0,
    -- When a letter that is still `replaying` may be replayed anew.
    replay_deadline DATETIME(6) NULL,
    closed_at       DATETIME(6) NULL,
    PRIMARY KEY (letter_id),
    UNIQUE KEY dead_letters_event (group_no, event_id),
    KEY dead_letters_by_state (state, group_no, letter_id),
    CONSTRAINT dead_letters_replaying_has_deadline CHECK (state <> 'replaying' OR replay_deadline IS NOT NULL),
    CONSTRAINT dead_letters_closed_has_time
        CHECK ((state IN ('resolved', 'discarded')) = (closed_at IS NOT NULL))
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;

-- What became of a letter, line by line.
CREATE TABLE dead_letter_history (
    history_no BIGINT UNSIGNED NOT NULL AUTO_INCREMENT,
    letter_id  BINARY(16) NOT NULL,
    at         DATETIME(6) NOT NULL DEFAULT CURRENT_TIMESTAMP(6),
    -- failed, replayed, resolved, discarded, ...
    action     VARCHAR(32) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
    actor      VARCHAR(128) NOT NULL,
    detail     VARCHAR(2048) NULL,
    PRIMARY KEY (history_no),
    KEY dead_letter_history_by_letter (letter_id, history_no)
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;

-- Every act of an operator. Append-only.
CREATE TABLE audit_log (
    audit_no BIGINT UNSIGNED NOT NULL AUTO_INCREMENT,
    at       DATETIME(6) NOT NULL DEFAULT CURRENT_TIMESTAMP(6),
    actor    VARCHAR(128) NOT NULL,
    action   VARCHAR(64) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
    object   VARCHAR(256) NOT NULL,
    detail   JSON NULL,
    PRIMARY KEY (audit_no)
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;
