-- What a letter sends to its group can be corrected by an operator. The letter's own record
-- stays as it came, byte for byte.

CREATE TABLE dead_letter_edits (
    letter_id      BINARY(16) NOT NULL,
    -- From 1, without holes.
    edit_no        INT UNSIGNED NOT NULL,
    -- What goes to the group, in the stored form of the letter's own record.
    record_value   MEDIUMBLOB NOT NULL,
    record_headers MEDIUMBLOB NOT NULL,
    -- Field by field, from what went before.
    difference     JSON NOT NULL,
    actor          VARCHAR(128) NOT NULL,
    reason         VARCHAR(256) NOT NULL,
    edited_at      DATETIME(6) NOT NULL DEFAULT CURRENT_TIMESTAMP(6),
    PRIMARY KEY (letter_id, edit_no)
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;

ALTER TABLE dead_letters
    -- The edit that goes to the group; 0: the record as it came.
    ADD COLUMN edit_no INT UNSIGNED NOT NULL DEFAULT 0;
