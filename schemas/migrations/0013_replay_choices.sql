-- The choice of a replay is kept in pieces: a row for each of its letters was most of what a
-- plan cost. A letter has a row of its own from when its turn has come.

CREATE TABLE replay_choices (
    replay_no   INT UNSIGNED NOT NULL,
    -- The place of its first letter: 1, 1025, 2049, ...
    first_place INT UNSIGNED NOT NULL,
    -- The ids of up to 1,024 letters, 16 bytes each, in the order of their places.
    letter_ids  VARBINARY(16384) NOT NULL,
    PRIMARY KEY (replay_no, first_place)
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;

SET SESSION group_concat_max_len = 16384;

INSERT INTO replay_choices (replay_no, first_place, letter_ids)
SELECT replay_no, MIN(place), GROUP_CONCAT(letter_id ORDER BY place SEPARATOR '')
FROM replay_letters GROUP BY replay_no, (place - 1) DIV 1024;

SET SESSION group_concat_max_len = DEFAULT;

DELETE FROM replay_letters WHERE outcome = 'waiting';

ALTER TABLE replay_letters
    DROP CONSTRAINT replay_letters_settled_has_time,
    DROP COLUMN group_no,
    DROP COLUMN fingerprint,
    DROP COLUMN held_key,
    MODIFY COLUMN outcome ENUM('sent', 'resolved', 'failed', 'quarantined', 'unanswered', 'refused') NOT NULL,
    ADD CONSTRAINT replay_letters_settled_has_time CHECK ((outcome = 'sent') = (settled_at IS NULL));
