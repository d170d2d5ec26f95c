-- Notifications: what partners want to hear of, and what is on its way to them.
--
-- A delivery: pending -> delivered | dead, and dead -> pending when an operator tries it again.

-- What a partner wants to be told, and where.
CREATE TABLE subscriptions (
    subscription_no INT UNSIGNED NOT NULL AUTO_INCREMENT,
    partner_no      INT UNSIGNED NOT NULL,
    -- The partner's own string, 1 to 64 characters of UTF-8, compared byte for byte.
    subscription_id VARBINARY(256) NOT NULL,
    sink            ENUM('webhook', 'email') NOT NULL,
    -- The URL or the address.
    target          VARCHAR(2048) NOT NULL,
    -- Full names of events, separated by blanks.
    event_types     VARCHAR(4096) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
    payload         ENUM('full', 'zero') NOT NULL,
    enabled         BOOLEAN NOT NULL,
    -- Whether the endpoint itself asked for that, by answering 410.
    is_gone         BOOLEAN NOT NULL DEFAULT FALSE,
    -- Signs what is sent; it is needed as it is, so it is kept as it is (decision 0025).
    secret          VARBINARY(64) NULL,
    -- Signs too, until then.
    previous_secret       VARBINARY(64) NULL,
    previous_secret_until DATETIME(6) NULL,
    -- The circuit: failures since the last success, and until when the endpoint is left alone.
    failures        INT UNSIGNED NOT NULL DEFAULT 0,
    rests_until     DATETIME(6) NULL,
    last_failure    VARCHAR(512) NULL,
    last_failure_at DATETIME(6) NULL,
    created_at      DATETIME(6) NOT NULL,
    updated_at      DATETIME(6) NOT NULL,
    PRIMARY KEY (subscription_no),
    UNIQUE KEY subscriptions_id (partner_no, subscription_id),
    CONSTRAINT subscriptions_partner FOREIGN KEY (partner_no) REFERENCES partners (partner_no),
    CONSTRAINT subscriptions_secret CHECK ((sink = 'webhook') = (secret IS NOT NULL)),
    CONSTRAINT subscriptions_previous CHECK ((previous_secret IS NULL) = (previous_secret_until IS NULL)),
    CONSTRAINT subscriptions_gone CHECK (NOT (is_gone AND enabled))
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;

-- One event on its way to one subscription. Written by the group `notifications`, sent by the
-- sender, which takes a row by writing its lease and when that runs out.
CREATE TABLE deliveries (
    delivery_no     BIGINT UNSIGNED NOT NULL AUTO_INCREMENT,
    -- The same at every attempt: receivers deduplicate by it.
    delivery_id     BINARY(16) NOT NULL,
    -- The subscription may be gone; then the row goes, too.
    subscription_no INT UNSIGNED NOT NULL,
    event_id        BINARY(16) NOT NULL,
    event_type      VARCHAR(96) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
    -- What the event is about: the key of its record.
    aggregate_id    VARCHAR(64) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
    -- The aggregate's own number of the event, if its record said it.
    sequence        BIGINT UNSIGNED NULL,
    event_time      DATETIME(6) NOT NULL,
    -- JSON. Of a zero payload, and of what was delivered, nothing is kept.
    body            MEDIUMBLOB NULL,
    state           ENUM('pending', 'delivered', 'dead') NOT NULL DEFAULT 'pending',
    -- Begun, not ended: whoever dies while it sends has used one up.
    attempts        INT UNSIGNED NOT NULL DEFAULT 0,
    -- Of a leased row: when the lease runs out.
    next_attempt_at DATETIME(6) NOT NULL,
    lease           BINARY(16) NULL,
    last_error      VARCHAR(512) NULL,
    created_at      DATETIME(6) NOT NULL,
    -- When it was written, or last taken up again.
    waits_since     DATETIME(6) NOT NULL,
    settled_at      DATETIME(6) NULL,
    PRIMARY KEY (delivery_no),
    UNIQUE KEY deliveries_event (subscription_no, event_id),
    UNIQUE KEY deliveries_id (delivery_id),
    -- What is due, of one endpoint.
    KEY deliveries_due (subscription_no, state, next_attempt_at),
    -- What waits longest, what can be removed, what an operator looks at.
    KEY deliveries_state (state, waits_since, delivery_no),
    CONSTRAINT deliveries_settled CHECK ((state = 'pending') = (settled_at IS NULL)),
    CONSTRAINT deliveries_leased CHECK (lease IS NULL OR state = 'pending')
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;

-- Lots whose user was not told yet that they expire soon.
ALTER TABLE point_lots ADD KEY point_lots_unnoticed (is_open, noticed_at, expires_at, lot_no);
