-- Partners and the keys they call the api with. Outside identifiers are compared
-- byte for byte everywhere (VARBINARY or a _bin collation).

CREATE TABLE partners (
    partner_no INT UNSIGNED NOT NULL AUTO_INCREMENT,
    partner_id BINARY(16) NOT NULL,
    name       VARCHAR(128) NOT NULL,
    created_at DATETIME(6) NOT NULL DEFAULT CURRENT_TIMESTAMP(6),
    PRIMARY KEY (partner_no),
    UNIQUE KEY partners_id (partner_id)
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;

CREATE TABLE api_keys (
    key_id     BINARY(16) NOT NULL,
    partner_no INT UNSIGNED NOT NULL,
    -- SHA-256 of a 256-bit random secret: too long to guess, so no slow hash.
    key_hash   BINARY(32) NOT NULL,
    -- Space-separated, e.g. `campaigns:write claims:write coupons:write`.
    scopes     VARCHAR(512) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
    created_at DATETIME(6) NOT NULL DEFAULT CURRENT_TIMESTAMP(6),
    -- End of the overlap after a rotation.
    expires_at DATETIME(6) NULL,
    revoked_at DATETIME(6) NULL,
    PRIMARY KEY (key_id),
    UNIQUE KEY api_keys_hash (key_hash),
    KEY api_keys_by_partner (partner_no),
    -- Every api process asks every few seconds which keys were revoked or ran out lately.
    KEY api_keys_by_revocation (revoked_at),
    KEY api_keys_by_expiry (expires_at),
    CONSTRAINT api_keys_partner FOREIGN KEY (partner_no) REFERENCES partners (partner_no)
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;
