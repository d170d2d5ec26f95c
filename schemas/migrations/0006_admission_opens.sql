-- When a campaign changes hands between Redis and MySQL, or its state in Redis is made
-- anew, processes that have not noticed may still say "sold out" for as long as their
-- flags live. Nobody is admitted before that, so that nobody who was admitted hears it.

ALTER TABLE campaigns
    -- No ticket of this epoch is handed out before; NULL: at once.
    ADD COLUMN admission_opens_at DATETIME(6) NULL AFTER admission_source,
    ALGORITHM = INSTANT;
