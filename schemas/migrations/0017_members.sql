-- Members: the customers of a partner, who call with a token of their own.

CREATE TABLE members (
    member_no  INT UNSIGNED NOT NULL AUTO_INCREMENT,
    member_id  BINARY(16) NOT NULL,
    partner_no INT UNSIGNED NOT NULL,
    -- Lower case, compared byte for byte.
    login      VARCHAR(254) NOT NULL,
    -- The user that the member is to the partner: drawn by us, so that nobody signs up as a user
    -- that the partner has already.
    user_id    VARCHAR(64) NOT NULL,
    -- Argon2id in the PHC form: parameters, salt, hash.
    password_hash VARCHAR(255) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
    created_at DATETIME(6) NOT NULL,
    PRIMARY KEY (member_no),
    UNIQUE KEY members_id (member_id),
    UNIQUE KEY members_login (partner_no, login),
    UNIQUE KEY members_user (partner_no, user_id),
    CONSTRAINT members_partner FOREIGN KEY (partner_no) REFERENCES partners (partner_no)
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;

-- A login, and all refresh tokens that follow from it.
--
--   open -> ended (logout, reuse of a token), or past its time
CREATE TABLE member_sessions (
    session_id BINARY(16) NOT NULL,
    member_no  INT UNSIGNED NOT NULL,
    created_at DATETIME(6) NOT NULL,
    -- The end, however often it is refreshed. Some time later the row is removed.
    expires_at DATETIME(6) NOT NULL,
    ended_at   DATETIME(6) NULL,
    ended_by   ENUM('logout', 'reuse') NULL,
    PRIMARY KEY (session_id),
    KEY member_sessions_by_member (member_no),
    KEY member_sessions_by_expiry (expires_at),
    -- Every api process asks every few seconds which sessions have ended lately.
    KEY member_sessions_by_end (ended_at),
    CONSTRAINT member_sessions_member FOREIGN KEY (member_no) REFERENCES members (member_no),
    CONSTRAINT member_sessions_ended CHECK ((ended_at IS NULL) = (ended_by IS NULL))
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;

-- Each is good once. One that comes again was stolen, from us or from the member: its session ends.
CREATE TABLE refresh_tokens (
    -- SHA-256 of 256 random bits.
    token_hash BINARY(32) NOT NULL,
    session_id BINARY(16) NOT NULL,
    issued_at  DATETIME(6) NOT NULL,
    used_at    DATETIME(6) NULL,
    PRIMARY KEY (token_hash),
    KEY refresh_tokens_by_session (session_id),
    CONSTRAINT refresh_tokens_session FOREIGN KEY (session_id) REFERENCES member_sessions (session_id)
        ON DELETE CASCADE
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;

-- What signs access tokens. Each signs for one period, and verifies for as long as a token lives.
CREATE TABLE signing_keys (
    -- Number of the period since 1970: of many processes that make its key, one does.
    period     INT UNSIGNED NOT NULL,
    -- Named in the token.
    kid        BINARY(16) NOT NULL,
    -- For HMAC-SHA-256.
    secret     BINARY(32) NOT NULL,
    created_at DATETIME(6) NOT NULL DEFAULT CURRENT_TIMESTAMP(6),
    PRIMARY KEY (period),
    UNIQUE KEY signing_keys_kid (kid)
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;
