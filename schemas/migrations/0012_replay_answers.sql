-- A replay is judged by its last answers. They are kept in its own row: the index in which they
-- were looked for had an entry for each letter of each plan.

ALTER TABLE replays
    -- The last answers since it was started or resumed, oldest first: `r` resolved, `f` failed.
    ADD COLUMN recent_answers VARBINARY(100) NOT NULL DEFAULT '',
    DROP COLUMN judged_since;

ALTER TABLE replay_letters DROP KEY replay_letters_settled;
