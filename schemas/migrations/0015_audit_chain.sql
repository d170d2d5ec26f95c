-- The audit log becomes a chain: a line carries the hash of the line before and its own, and
-- `audit_head` says which line is the last. What is hashed, and how, is said and tested in
-- `outbox/src/audit/chain.rs`; below is the same in SQL, for the lines that are there already.
--
-- Processes of before cannot write to this table any more (`audit_no` and the hashes have no
-- default): their acts fail and are rolled back, rather than leave a line outside the chain.
--
-- Nothing is deleted before the last statement. If this is interrupted: drop `audit_log` and
-- `audit_head`, rename `audit_log_unchained` back to `audit_log`, and migrate again.

RENAME TABLE audit_log TO audit_log_unchained;

-- Every act of an operator. Append-only.
CREATE TABLE audit_log (
    -- Its number in the chain: 1, 2, 3, ... without a gap. Given out under the lock of `audit_head`:
    -- AUTO_INCREMENT leaves gaps where a transaction rolls back.
    audit_no      BIGINT UNSIGNED NOT NULL,
    at            DATETIME(6) NOT NULL,
    actor         VARCHAR(128) NOT NULL,
    action        VARCHAR(64) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
    object        VARCHAR(256) NOT NULL,
    -- JSON as it was written. Not of type JSON, which gives back another text than it took:
    -- what was hashed has to be what is read.
    detail        MEDIUMTEXT NULL,
    previous_hash BINARY(32) NOT NULL,
    hash          BINARY(32) NOT NULL,
    PRIMARY KEY (audit_no)
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;

-- The last line of the chain, in one row. Whoever writes a line locks it, as the last lock of its
-- transaction.
CREATE TABLE audit_head (
    head_no  TINYINT UNSIGNED NOT NULL DEFAULT 1,
    -- How many lines there are; 0: none yet.
    audit_no BIGINT UNSIGNED NOT NULL,
    hash     BINARY(32) NOT NULL,
    PRIMARY KEY (head_no),
    CONSTRAINT audit_head_is_one CHECK (head_no = 1)
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;

-- What was written until now, in its order. Numbers are given anew, without the gaps.
INSERT INTO audit_log (audit_no, at, actor, action, object, detail, previous_hash, hash)
SELECT ROW_NUMBER() OVER (ORDER BY audit_no), at, actor, action, object, CAST(detail AS CHAR), '', ''
FROM audit_log_unchained;

-- One line more says how many these are: nothing vouches for them before this moment.
INSERT INTO audit_log (audit_no, at, actor, action, object, detail, previous_hash, hash)
SELECT before_it.lines_before + 1, UTC_TIMESTAMP(6), 'migration', 'audit.chain', 'audit_log',
    CONCAT('{"lines_before":', before_it.lines_before, '}'), '', ''
FROM (SELECT COUNT(*) AS lines_before FROM audit_log_unchained) AS before_it
WHERE before_it.lines_before > 0;

SET SESSION cte_max_recursion_depth = 4294967295;

UPDATE audit_log
JOIN (
    WITH RECURSIVE chain (audit_no, previous_hash, hash) AS (
        SELECT CAST(0 AS UNSIGNED), CAST(UNHEX(REPEAT('00', 32)) AS BINARY(32)),
            CAST(UNHEX(REPEAT('00', 32)) AS BINARY(32))
        UNION ALL
        SELECT line.audit_no, chain.hash, CAST(UNHEX(SHA2(CONCAT(
            UNHEX('0000000000000010'), CAST('headgate.audit.1' AS BINARY),
            UNHEX('0000000000000008'), UNHEX(LPAD(HEX(line.audit_no), 16, '0')),
            UNHEX('0000000000000008'),
            UNHEX(LPAD(HEX(TIMESTAMPDIFF(MICROSECOND, '1970-01-01 00:00:00', line.at)), 16, '0')),
            UNHEX(LPAD(HEX(LENGTH(line.actor)), 16, '0')), CAST(line.actor AS BINARY),
            UNHEX(LPAD(HEX(LENGTH(line.action)), 16, '0')), CAST(line.action AS BINARY),
            UNHEX(LPAD(HEX(LENGTH(line.object)), 16, '0')), CAST(line.object AS BINARY),
            IF(line.detail IS NULL, UNHEX(REPEAT('FF', 8)),
                CONCAT(UNHEX(LPAD(HEX(LENGTH(line.detail)), 16, '0')), CAST(line.detail AS BINARY))),
            UNHEX('0000000000000020'), chain.hash
        ), 256)) AS BINARY(32))
        FROM chain STRAIGHT_JOIN audit_log AS line ON line.audit_no = chain.audit_no + 1
    )
    SELECT audit_no, previous_hash, hash FROM chain
) AS chained ON chained.audit_no = audit_log.audit_no
SET audit_log.previous_hash = chained.previous_hash, audit_log.hash = chained.hash;

SET SESSION cte_max_recursion_depth = DEFAULT;

INSERT INTO audit_head (audit_no, hash)
SELECT COUNT(*), COALESCE(MAX(CASE WHEN audit_no = counted.lines_all THEN hash END), UNHEX(REPEAT('00', 32)))
FROM audit_log, (SELECT COUNT(*) AS lines_all FROM audit_log) AS counted;

DROP TABLE audit_log_unchained;
