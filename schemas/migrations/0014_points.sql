-- Points: wallets, the ledger, and the lots that points live in.
--
-- The ledger is append-only. At every commit, for each wallet:
--   balance = the sum of its entries = the sum of what remains in its lots,
-- and for each lot:
--   remaining = the sum of its allocations.

-- What partners may ask of their users' points; a partner without a row has the defaults.
CREATE TABLE point_policies (
    partner_no         INT UNSIGNED NOT NULL,
    -- Least and most of one earn.
    earn_min           BIGINT UNSIGNED NOT NULL,
    earn_max           BIGINT UNSIGNED NOT NULL,
    -- Most that one wallet holds.
    wallet_max         BIGINT UNSIGNED NOT NULL,
    -- How long points are valid that are earned without an expiry, or come back too late.
    valid_for_seconds  INT UNSIGNED NOT NULL,
    updated_at         DATETIME(6) NOT NULL,
    updated_by         VARCHAR(128) NOT NULL,
    PRIMARY KEY (partner_no),
    CONSTRAINT point_policies_partner FOREIGN KEY (partner_no) REFERENCES partners (partner_no),
    CONSTRAINT point_policies_earn CHECK (earn_min BETWEEN 1 AND earn_max AND earn_max <= wallet_max),
    CONSTRAINT point_policies_wallet CHECK (wallet_max <= 1000000000000),
    CONSTRAINT point_policies_valid CHECK (valid_for_seconds > 0)
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;

-- A user's points with a partner. A row exists before it is locked, and whoever changes a
-- wallet's points locks it first, so its other rows need no locks of their own.
CREATE TABLE wallets (
    wallet_no      BIGINT UNSIGNED NOT NULL AUTO_INCREMENT,
    wallet_id      BINARY(16) NOT NULL,
    partner_no     INT UNSIGNED NOT NULL,
    -- The partner's own string, 1 to 64 characters of UTF-8, compared byte for byte.
    user_id        VARBINARY(256) NOT NULL,
    -- The head of the ledger: what the last entry left, and how many entries there are. The
    -- number of entries is the fence of whoever read it without a lock.
    balance        BIGINT UNSIGNED NOT NULL DEFAULT 0,
    entries        BIGINT UNSIGNED NOT NULL DEFAULT 0,
    event_sequence BIGINT UNSIGNED NOT NULL DEFAULT 0,
    last_outbox_id BIGINT UNSIGNED NOT NULL DEFAULT 0,
    created_at     DATETIME(6) NOT NULL DEFAULT CURRENT_TIMESTAMP(6),
    PRIMARY KEY (wallet_no),
    UNIQUE KEY wallets_id (wallet_id),
    UNIQUE KEY wallets_user (partner_no, user_id),
    -- What moved lately is found without what did not.
    KEY wallets_last_event (last_outbox_id),
    CONSTRAINT wallets_partner FOREIGN KEY (partner_no) REFERENCES partners (partner_no)
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;

CREATE TABLE point_entries (
    wallet_no       BIGINT UNSIGNED NOT NULL,
    -- 1, 2, 3, ... without a gap.
    entry_no        BIGINT UNSIGNED NOT NULL,
    point_key       BINARY(16) NOT NULL,
    kind            ENUM('earn', 'charge', 'use', 'cancel-use', 'cancel-earn', 'send', 'receive', 'expire')
                        NOT NULL,
    -- What it adds to the balance; negative where it takes.
    amount          BIGINT NOT NULL,
    balance_after   BIGINT UNSIGNED NOT NULL,
    -- Of a cancellation: the entry of the same wallet that it cancels, wholly or in part.
    cancels         BINARY(16) NULL,
    -- Of a transfer: both of its entries have it.
    transfer_id     BINARY(16) NULL,
    other_wallet_no BIGINT UNSIGNED NULL,
    -- The partner's own strings.
    reference       VARBINARY(256) NULL,
    reason          VARCHAR(256) NULL,
    made_at         DATETIME(6) NOT NULL,
    PRIMARY KEY (wallet_no, entry_no),
    UNIQUE KEY point_entries_key (point_key),
    KEY point_entries_cancels (cancels),
    CONSTRAINT point_entries_wallet FOREIGN KEY (wallet_no) REFERENCES wallets (wallet_no),
    CONSTRAINT point_entries_sign CHECK (
        (kind IN ('earn', 'charge', 'cancel-use', 'receive') AND amount > 0)
        OR (kind IN ('use', 'cancel-earn', 'send', 'expire') AND amount < 0)),
    CONSTRAINT point_entries_cancellation CHECK ((kind IN ('cancel-use', 'cancel-earn')) = (cancels IS NOT NULL)),
    CONSTRAINT point_entries_transfer CHECK (
        (kind IN ('send', 'receive')) = (transfer_id IS NOT NULL)
        AND (transfer_id IS NULL) = (other_wallet_no IS NULL))
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;

CREATE TABLE point_lots (
    lot_no     BIGINT UNSIGNED NOT NULL AUTO_INCREMENT,
    wallet_no  BIGINT UNSIGNED NOT NULL,
    -- The entry that made it: what was earned, received, or came back too late.
    entry_no   BIGINT UNSIGNED NOT NULL,
    -- Of what came back too late: the lot that it was taken from.
    in_stead_of BIGINT UNSIGNED NULL,
    amount     BIGINT UNSIGNED NOT NULL,
    remaining  BIGINT UNSIGNED NOT NULL,
    expires_at DATETIME(6) NOT NULL,
    -- 1 while there is something in it.
    is_open    TINYINT GENERATED ALWAYS AS (CASE WHEN remaining > 0 THEN 1 END) VIRTUAL,
    -- Whether its user was told that it expires soon.
    noticed_at DATETIME(6) NULL,
    PRIMARY KEY (lot_no),
    -- The order in which points are spent.
    KEY point_lots_open (wallet_no, is_open, expires_at, lot_no),
    KEY point_lots_due (is_open, expires_at, lot_no),
    KEY point_lots_entry (wallet_no, entry_no),
    CONSTRAINT point_lots_wallet FOREIGN KEY (wallet_no) REFERENCES wallets (wallet_no),
    CONSTRAINT point_lots_remaining CHECK (remaining <= amount)
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;

-- Which lot gave what to which entry, or took it. Append-only, as the ledger.
CREATE TABLE point_allocations (
    wallet_no BIGINT UNSIGNED NOT NULL,
    entry_no  BIGINT UNSIGNED NOT NULL,
    lot_no    BIGINT UNSIGNED NOT NULL,
    -- As the entry's: they add up to it.
    amount    BIGINT NOT NULL,
    PRIMARY KEY (wallet_no, entry_no, lot_no),
    KEY point_allocations_by_lot (lot_no),
    CONSTRAINT point_allocations_some CHECK (amount <> 0)
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;

-- Balances as the group `point-balances` has heard of them: a copy, behind the ledger.
CREATE TABLE point_balances (
    wallet_id  BINARY(16) NOT NULL,
    partner_no INT UNSIGNED NOT NULL,
    user_id    VARBINARY(256) NOT NULL,
    balance    BIGINT UNSIGNED NOT NULL,
    -- The entry that left it.
    entry_no   BIGINT UNSIGNED NOT NULL,
    -- When that was made.
    as_of      DATETIME(6) NOT NULL,
    PRIMARY KEY (wallet_id),
    UNIQUE KEY point_balances_user (partner_no, user_id)
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;
