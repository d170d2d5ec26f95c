-- What the services' MySQL user needs and no more: it can add lines to the audit log and read them,
-- but neither change nor remove any. Prints the statements; run by an administrator in the product's
-- database, after each `headgate migrate` (which needs a user of its own, with all rights there):
--
--   mysql --user=root headgate -Ne "SET @services = '''services''@''%'''; source deploy/mysql/grants.sql" \
--     | mysql --user=root
--
-- Rights add up in MySQL: where the user holds more on the whole database
-- (SHOW GRANTS FOR 'services'@'%'), that has to be revoked, or these lines say nothing.
SELECT CONCAT(
    'GRANT ',
    CASE
        WHEN TABLE_NAME = 'audit_log' THEN 'SELECT, INSERT'
        -- FOR UPDATE needs the right to update; every act moves the head by one line.
        WHEN TABLE_NAME = 'audit_head' THEN 'SELECT, UPDATE'
        WHEN TABLE_NAME = '_sqlx_migrations' THEN 'SELECT'
        -- Day partitions are made and dropped by the retention job.
        WHEN CREATE_OPTIONS LIKE '%partitioned%' THEN 'SELECT, INSERT, UPDATE, DELETE, ALTER, CREATE, DROP'
        ELSE 'SELECT, INSERT, UPDATE, DELETE'
    END,
    ' ON `', TABLE_SCHEMA, '`.`', TABLE_NAME, '` TO ', @services, ';'
) AS statement
FROM information_schema.TABLES
WHERE TABLE_SCHEMA = DATABASE() AND TABLE_TYPE = 'BASE TABLE'
UNION ALL
SELECT CONCAT('GRANT SELECT ON `', TABLE_SCHEMA, '`.`', TABLE_NAME, '` TO ', @services, ';')
FROM information_schema.TABLES
WHERE TABLE_SCHEMA = DATABASE() AND TABLE_TYPE = 'VIEW';
