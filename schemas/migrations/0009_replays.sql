-- Replays: letters that were chosen together go to their groups at a pace, and each has an
-- outcome. The choice is kept, so that what was planned is what is sent.

CREATE TABLE replays (
    replay_no            INT UNSIGNED NOT NULL AUTO_INCREMENT,
    replay_id            BINARY(16) NOT NULL,
    state                ENUM('planned', 'running', 'paused', 'completed', 'cancelled') NOT NULL,
    -- Why it stands still: an operator, its canary is through, or too much failed.
    pause_reason         ENUM('operator', 'canary', 'failures') NULL,
    pause_detail         VARCHAR(255) NULL,
    -- What was asked for, as it was asked.
    filter               JSON NOT NULL,
    -- What was found: counts, causes, conflicts.
    plan                 JSON NOT NULL,
    letters              INT UNSIGNED NOT NULL,
    rate_per_second      INT UNSIGNED NOT NULL,
    canary_letters       INT UNSIGNED NOT NULL,
    failures_percent_max TINYINT UNSIGNED NOT NULL,
    -- The last place that may be sent: that of the canary until it was let through.
    places_allowed       INT UNSIGNED NOT NULL,
    -- 1 while somebody has to work on it: it runs, or answers are due.
    is_live              TINYINT NULL,
    planned_by           VARCHAR(128) NOT NULL,
    planned_at           DATETIME(6) NOT NULL DEFAULT CURRENT_TIMESTAMP(6),
    -- Who started or resumed it last.
    run_by               VARCHAR(128) NULL,
    started_at           DATETIME(6) NULL,
    -- Failures before this are forgiven.
    judged_since         DATETIME(6) NULL,
    ended_at             DATETIME(6) NULL,
    PRIMARY KEY (replay_no),
    UNIQUE KEY replays_id (replay_id),
    KEY replays_live (is_live),
    KEY replays_planned_at (planned_at),
    CONSTRAINT replays_paused_says_why CHECK ((state = 'paused') = (pause_reason IS NOT NULL)),
    CONSTRAINT replays_ended_has_time CHECK ((state IN ('completed', 'cancelled')) = (ended_at IS NOT NULL))
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;

CREATE TABLE replay_letters (
    replay_no   INT UNSIGNED NOT NULL,
    -- The order in which they go, from 1.
    place       INT UNSIGNED NOT NULL,
    letter_id   BINARY(16) NOT NULL,
    -- Of the letter, when it was planned: causes and keys are counted without the letters.
    group_no    SMALLINT UNSIGNED NOT NULL,
    fingerprint BINARY(16) NOT NULL,
    held_key    BINARY(16) NULL,
    outcome     ENUM('waiting', 'sent', 'resolved', 'failed', 'quarantined', 'unanswered', 'refused')
                    NOT NULL DEFAULT 'waiting',
    -- Which attempt of the letter it is.
    attempt     INT UNSIGNED NULL,
    sent_at     DATETIME(6) NULL,
    settled_at  DATETIME(6) NULL,
    -- Why it was not resolved.
    error_class VARCHAR(64) CHARACTER SET ascii COLLATE ascii_bin NULL,
    error       VARCHAR(2048) NULL,
    PRIMARY KEY (replay_no, place),
    KEY replay_letters_outcome (replay_no, outcome, place),
    KEY replay_letters_settled (replay_no, settled_at),
    CONSTRAINT replay_letters_settled_has_time
        CHECK ((outcome IN ('waiting', 'sent')) = (settled_at IS NULL))
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;

-- What waits behind others is found without the letters that do not.
ALTER TABLE dead_letters ADD KEY dead_letters_waiting (is_parked, letter_id);
