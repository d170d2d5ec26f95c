-- The transactional outbox. A business transaction inserts here beside its own
-- rows; the relay publishes and removes. Only what is not published yet lives in
-- `outbox`; what failed or waits behind a failed row lives in `outbox_blocked`, so
-- that no range delete can take it; what was published lives in `outbox_archive`.

CREATE TABLE outbox (
    -- Virtual bucket of the aggregate (murmur2 of the key, modulo 16). Fixed for
    -- ever: only the leases on buckets move.
    bucket         SMALLINT UNSIGNED NOT NULL,
    -- Microseconds << 12 | process number, and always above the aggregate's last.
    id             BIGINT UNSIGNED NOT NULL,
    event_id       BINARY(16) NOT NULL,
    aggregate_type VARCHAR(16) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
    aggregate_id   VARBINARY(64) NOT NULL,
    event_type     VARCHAR(96) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
    -- The aggregate's own contiguous number (ce_sequence).
    sequence       BIGINT UNSIGNED NOT NULL,
    topic          VARCHAR(249) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
    -- Avro in Confluent's wire format. NULL only in copies of records that had none.
    payload        MEDIUMBLOB NULL,
    -- Set together on copies of records (dead letters, replays), which travel with
    -- the key and the headers they came with. `raw_headers` is never NULL on those.
    raw_key        MEDIUMBLOB NULL,
    raw_headers    MEDIUMBLOB NULL,
    traceparent    VARCHAR(55) CHARACTER SET ascii COLLATE ascii_bin NULL,
    created_at     DATETIME(6) NOT NULL,
    -- The relay reads a bucket in order of id and removes a published range: both
    -- are one walk along this key.
    PRIMARY KEY (bucket, id)
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;

CREATE TABLE outbox_blocked (
    bucket         SMALLINT UNSIGNED NOT NULL,
    id             BIGINT UNSIGNED NOT NULL,
    event_id       BINARY(16) NOT NULL,
    aggregate_type VARCHAR(16) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
    aggregate_id   VARBINARY(64) NOT NULL,
    event_type     VARCHAR(96) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
    sequence       BIGINT UNSIGNED NOT NULL,
    topic          VARCHAR(249) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
    payload        MEDIUMBLOB NULL,
    raw_key        MEDIUMBLOB NULL,
    raw_headers    MEDIUMBLOB NULL,
    traceparent    VARCHAR(55) CHARACTER SET ascii COLLATE ascii_bin NULL,
    created_at     DATETIME(6) NOT NULL,
    -- failed: its attempts are exhausted. waiting: behind a failed row of its aggregate.
    status         ENUM('failed', 'waiting') NOT NULL,
    attempts       SMALLINT UNSIGNED NOT NULL,
    max_attempts   SMALLINT UNSIGNED NOT NULL,
    last_error     VARCHAR(1024) NULL,
    blocked_at     DATETIME(6) NOT NULL,
    PRIMARY KEY (bucket, id),
    KEY outbox_blocked_by_aggregate (aggregate_type, aggregate_id),
    CONSTRAINT outbox_blocked_failed_says_why CHECK (status <> 'failed' OR last_error IS NOT NULL)
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;

-- Day partitions are made ahead and dropped by the retention job.
CREATE TABLE outbox_archive (
    published_day   DATE NOT NULL,
    bucket          SMALLINT UNSIGNED NOT NULL,
    id              BIGINT UNSIGNED NOT NULL,
    event_id        BINARY(16) NOT NULL,
    aggregate_type  VARCHAR(16) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
    aggregate_id    VARBINARY(64) NOT NULL,
    event_type      VARCHAR(96) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
    sequence        BIGINT UNSIGNED NOT NULL,
    topic           VARCHAR(249) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
    payload         MEDIUMBLOB NULL,
    raw_key         MEDIUMBLOB NULL,
    raw_headers     MEDIUMBLOB NULL,
    traceparent     VARCHAR(55) CHARACTER SET ascii COLLATE ascii_bin NULL,
    created_at      DATETIME(6) NOT NULL,
    kafka_partition INT NOT NULL,
    kafka_offset    BIGINT NOT NULL,
    published_at    DATETIME(6) NOT NULL,
    -- Process number of the relay that published it.
    published_by    INT UNSIGNED NOT NULL,
    PRIMARY KEY (published_day, bucket, id)
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin
PARTITION BY RANGE COLUMNS (published_day) (PARTITION pmax VALUES LESS THAN (MAXVALUE));

-- One list of everything that was ever asked to be published, as operators see it.
CREATE VIEW outbox_events AS
SELECT id, event_id, aggregate_type, CAST(aggregate_id AS CHAR) AS aggregate_id, event_type, topic, payload,
       raw_headers AS headers, 'pending' AS status, 0 AS attempts, 3 AS max_attempts, NULL AS last_error,
       created_at, NULL AS processed_at
FROM outbox
UNION ALL
SELECT id, event_id, aggregate_type, CAST(aggregate_id AS CHAR), event_type, topic, payload, raw_headers,
       CAST(status AS CHAR), attempts, max_attempts, last_error, created_at, NULL
FROM outbox_blocked
UNION ALL
SELECT id, event_id, aggregate_type, CAST(aggregate_id AS CHAR), event_type, topic, payload, raw_headers,
       'processed', 1, 3, NULL, created_at, published_at
FROM outbox_archive;

-- One holder at a time for each outbox bucket and each background job. `epoch`
-- grows with every change of holder and fences a holder that slept past its lease.
CREATE TABLE leases (
    name       VARCHAR(64) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
    holder     VARCHAR(64) CHARACTER SET ascii COLLATE ascii_bin NULL,
    epoch      BIGINT UNSIGNED NOT NULL DEFAULT 0,
    expires_at DATETIME(6) NOT NULL,
    PRIMARY KEY (name)
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;

-- Every process that writes draws its number here at start. Its low 12 bits keep
-- two processes from making the same outbox id.
CREATE TABLE processes (
    process_no BIGINT UNSIGNED NOT NULL AUTO_INCREMENT,
    service    VARCHAR(32) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
    started_at DATETIME(6) NOT NULL DEFAULT CURRENT_TIMESTAMP(6),
    PRIMARY KEY (process_no)
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;
