-- Campaigns, claims and coupons.
--
--   claim:  admitted -> issued | released
--   coupon: issued -> used -> issued | expired
--
-- A row in `claims` is an admitted claim; it is issued when `coupons` has a row of
-- the same id. A released claim has left `claims` for `released_claims`, which frees
-- its ticket and its user.

CREATE TABLE campaigns (
    campaign_no              INT UNSIGNED NOT NULL AUTO_INCREMENT,
    campaign_id              BINARY(16) NOT NULL,
    partner_no               INT UNSIGNED NOT NULL,
    name                     VARCHAR(128) NOT NULL,
    quota                    INT UNSIGNED NOT NULL,
    opens_at                 DATETIME(6) NOT NULL,
    closes_at                DATETIME(6) NOT NULL,
    discount_type            ENUM('fixed', 'percent') NOT NULL,
    -- fixed: the discount; percent: NULL. Minor units of the partner's currency.
    discount_amount          BIGINT UNSIGNED NULL,
    discount_percent         TINYINT UNSIGNED NULL,
    -- percent: the cap.
    discount_amount_max      BIGINT UNSIGNED NULL,
    order_amount_min         BIGINT UNSIGNED NOT NULL,
    coupon_valid_for_seconds INT UNSIGNED NOT NULL,
    -- Whether a user whose claim was released may claim again.
    reclaim_allowed          BOOLEAN NOT NULL DEFAULT TRUE,
    -- The campaign clock moves scheduled -> open -> ended by MySQL's time.
    state                    ENUM('scheduled', 'open', 'paused', 'ended') NOT NULL,
    -- Grows with every rebuild of the admission state in Redis and every switch to
    -- admission through MySQL; 0 until the first claim.
    admission_epoch          INT UNSIGNED NOT NULL DEFAULT 0,
    -- Who hands out tickets in this epoch.
    admission_source         ENUM('redis', 'mysql') NOT NULL DEFAULT 'redis',
    -- Sequences handed out through MySQL in this epoch.
    fallback_sequence        INT UNSIGNED NOT NULL DEFAULT 0,
    created_at               DATETIME(6) NOT NULL,
    updated_at               DATETIME(6) NOT NULL,
    ended_at                 DATETIME(6) NULL,
    PRIMARY KEY (campaign_no),
    UNIQUE KEY campaigns_id (campaign_id),
    KEY campaigns_by_partner (partner_no, campaign_no),
    KEY campaigns_by_state (state, opens_at),
    KEY campaigns_by_end (ended_at),
    CONSTRAINT campaigns_partner FOREIGN KEY (partner_no) REFERENCES partners (partner_no),
    CONSTRAINT campaigns_quota CHECK (quota BETWEEN 1 AND 10000000),
    CONSTRAINT campaigns_times CHECK (opens_at < closes_at),
    CONSTRAINT campaigns_discount CHECK (
        (discount_type = 'fixed' AND discount_amount > 0
            AND discount_percent IS NULL AND discount_amount_max IS NULL)
        OR (discount_type = 'percent' AND discount_percent BETWEEN 1 AND 100
            AND discount_amount IS NULL AND discount_amount_max > 0)),
    CONSTRAINT campaigns_ended CHECK ((state = 'ended') = (ended_at IS NOT NULL))
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;

-- Apart from `campaigns`: admission holds shared locks there all the time, and
-- every batch of issued coupons updates this row. Lock order: campaigns, then this.
CREATE TABLE campaign_stock (
    campaign_no    INT UNSIGNED NOT NULL,
    -- Coupons not issued yet. quota = remaining + issued, at every commit.
    remaining      INT UNSIGNED NOT NULL,
    issued         INT UNSIGNED NOT NULL,
    -- Of the campaign's own events (opened, paused, sold out, ...).
    event_sequence BIGINT UNSIGNED NOT NULL,
    last_outbox_id BIGINT UNSIGNED NOT NULL,
    PRIMARY KEY (campaign_no),
    CONSTRAINT campaign_stock_campaign FOREIGN KEY (campaign_no) REFERENCES campaigns (campaign_no)
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;

CREATE TABLE claims (
    campaign_no     INT UNSIGNED NOT NULL,
    -- 1 to the quota. This key, not a counter, is what keeps a campaign from
    -- handing out more than its quota.
    ticket          INT UNSIGNED NOT NULL,
    claim_id        BINARY(16) NOT NULL,
    -- The partner's own string, 1 to 64 characters of UTF-8, compared byte for byte.
    user_id         VARBINARY(256) NOT NULL,
    admission_epoch INT UNSIGNED NOT NULL,
    -- (admission_epoch - 1) << 32 | number within the epoch: never reused in the
    -- campaign, and ordered as (admission_epoch, number) is.
    sequence        BIGINT UNSIGNED NOT NULL,
    admitted_at     DATETIME(6) NOT NULL,
    event_sequence  BIGINT UNSIGNED NOT NULL DEFAULT 1,
    last_outbox_id  BIGINT UNSIGNED NOT NULL,
    PRIMARY KEY (campaign_no, ticket),
    UNIQUE KEY claims_user (campaign_no, user_id),
    UNIQUE KEY claims_id (claim_id),
    CONSTRAINT claims_ticket CHECK (ticket >= 1)
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;

CREATE TABLE released_claims (
    claim_id        BINARY(16) NOT NULL,
    campaign_no     INT UNSIGNED NOT NULL,
    ticket          INT UNSIGNED NOT NULL,
    user_id         VARBINARY(256) NOT NULL,
    admission_epoch INT UNSIGNED NOT NULL,
    sequence        BIGINT UNSIGNED NOT NULL,
    admitted_at     DATETIME(6) NOT NULL,
    event_sequence  BIGINT UNSIGNED NOT NULL,
    last_outbox_id  BIGINT UNSIGNED NOT NULL,
    released_at     DATETIME(6) NOT NULL,
    reason          VARCHAR(256) NOT NULL,
    released_by     VARCHAR(128) NOT NULL,
    PRIMARY KEY (claim_id),
    KEY released_claims_user (campaign_no, user_id)
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;

CREATE TABLE coupons (
    -- The claim's id: one claim, at most one coupon.
    coupon_id       BINARY(16) NOT NULL,
    campaign_no     INT UNSIGNED NOT NULL,
    partner_no      INT UNSIGNED NOT NULL,
    ticket          INT UNSIGNED NOT NULL,
    user_id         VARBINARY(256) NOT NULL,
    state           ENUM('issued', 'used', 'expired') NOT NULL,
    issued_at       DATETIME(6) NOT NULL,
    expires_at      DATETIME(6) NOT NULL,
    used_at         DATETIME(6) NULL,
    -- The partner's own string, 1 to 64 characters of UTF-8.
    order_reference VARBINARY(256) NULL,
    -- The order it was last given back from: whoever asks again hears the same.
    restored_from   VARBINARY(256) NULL,
    event_sequence  BIGINT UNSIGNED NOT NULL,
    last_outbox_id  BIGINT UNSIGNED NOT NULL,
    PRIMARY KEY (coupon_id),
    KEY coupons_by_user (partner_no, user_id, coupon_id),
    KEY coupons_by_expiry (state, expires_at),
    CONSTRAINT coupons_used CHECK (
        (state = 'used') = (used_at IS NOT NULL) AND (state = 'used') = (order_reference IS NOT NULL))
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;
