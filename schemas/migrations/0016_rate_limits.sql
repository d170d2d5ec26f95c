-- Rate limits of single keys, in requests per second. NULL: what the api's settings say.

ALTER TABLE api_keys
    -- All that is sent under the key.
    ADD COLUMN rate_key     INT UNSIGNED NULL,
    -- What concerns one user.
    ADD COLUMN rate_user    INT UNSIGNED NULL,
    -- What comes from one address.
    ADD COLUMN rate_address INT UNSIGNED NULL,
    ALGORITHM = INSTANT;
