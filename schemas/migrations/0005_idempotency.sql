-- Idempotency keys of the public api: a request that is sent again takes effect once
-- and hears the first answer.
--
--   in_progress -> answered
--
-- A row is reserved by a transaction of its own, so that a request which is sent again
-- meanwhile is told to wait. It is answered by the transaction of the business rows and
-- their event, which requires that it still owns the row.

CREATE TABLE idempotency_keys (
    -- SHA-256 of caller, method, path and key: of one size, whatever those are. Not
    -- partitioned by day: MySQL would want the day in this key, and a request that is
    -- sent again after midnight would be a new one.
    scoped_key  BINARY(32) NOT NULL,
    -- SHA-256 of the body: another body under the same key is refused.
    fingerprint BINARY(32) NOT NULL,
    state       ENUM('in_progress', 'answered') NOT NULL,
    -- Drawn anew by whoever reserves the row or takes it over.
    owner       BINARY(16) NOT NULL,
    -- From then on an owner that has not answered is taken for dead.
    lease_until DATETIME(6) NOT NULL,
    -- From then on the row counts as absent; the retention job removes it.
    expires_at  DATETIME(6) NOT NULL,
    -- The answer, to be repeated word for word.
    status       SMALLINT UNSIGNED NULL,
    content_type VARCHAR(64) CHARACTER SET ascii COLLATE ascii_bin NULL,
    location     VARCHAR(255) CHARACTER SET ascii COLLATE ascii_bin NULL,
    body         BLOB NULL,
    PRIMARY KEY (scoped_key),
    KEY idempotency_keys_by_expiry (expires_at),
    CONSTRAINT idempotency_keys_answered CHECK (
        (state = 'answered') = (status IS NOT NULL)
        AND (state = 'answered') = (content_type IS NOT NULL)
        AND (state = 'answered') = (body IS NOT NULL)
        AND (state = 'answered' OR location IS NULL))
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;
