-- Letters that keep coming back are quarantined, letters that nobody wants to see are
-- archived, and long lists of letters are read by an index.

ALTER TABLE dead_letters
    -- Replays that failed since the letter was buried, or since it was last restored.
    ADD COLUMN replays_failed INT UNSIGNED NOT NULL DEFAULT 0,
    -- Since when it is archived: its retention counts from here.
    ADD COLUMN archived_at DATETIME(6) NULL,
    -- 1 while it is open or on its way: what lists and replays look among.
    ADD COLUMN is_pending TINYINT GENERATED ALWAYS AS (
        CASE WHEN state IN ('open', 'replaying') THEN 1 END
    ) VIRTUAL,
    -- The order of lists, and all that a count of open letters reads.
    ADD KEY dead_letters_pending (is_pending, letter_id, state, replay_deadline, group_no),
    ADD KEY dead_letters_archived (archived_at),
    ADD CONSTRAINT dead_letters_archived_has_time
        CHECK ((state = 'archived') = (archived_at IS NOT NULL));
