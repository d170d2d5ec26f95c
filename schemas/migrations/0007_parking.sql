-- Later events of a dead-lettered key wait behind it as letters of disposition `parked`.
-- Which keys are held, and what stands first in the queue of one, follows from the letters
-- themselves, so that it cannot disagree with them.

ALTER TABLE dead_letters
    -- The order in which letters were buried: within a partition that of its records.
    ADD COLUMN letter_no BIGINT UNSIGNED NOT NULL AUTO_INCREMENT,
    -- Of a letter that is not settled: what it holds, a hash of the record's key. NULL:
    -- nothing. A record without a key has no successors.
    ADD COLUMN held_key BINARY(16) GENERATED ALWAYS AS (
        CASE WHEN state IN ('open', 'replaying', 'archived', 'quarantined')
             THEN UNHEX(LEFT(SHA2(record_key, 256), 32)) END
    ) STORED,
    -- 1 while it waits behind another.
    ADD COLUMN is_parked TINYINT GENERATED ALWAYS AS (
        CASE WHEN disposition = 'parked' AND state IN ('open', 'replaying', 'archived', 'quarantined')
             THEN 1 END
    ) STORED,
    ADD UNIQUE KEY dead_letters_order (letter_no),
    ADD KEY dead_letters_queue (group_no, topic, partition_no, held_key, letter_no),
    ADD KEY dead_letters_parked (group_no, topic, partition_no, is_parked);
