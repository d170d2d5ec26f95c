//! Lines that were written before there was a chain.

use headgate_runtime::mysql;
use headgate_schemas::MIGRATIONS;
use headgate_testkit::Environment;
use sqlx::AssertSqlSafe;

use super::{act, execute, lines};
use headgate_outbox::audit::Link;
use headgate_outbox::audit::verify::{Limits, Verified, verify};
use sqlx::MySqlPool;
use std::time::{Duration, Instant};

/// The migration that makes the chain.
const CHAIN: i64 = 15;

fn pool(environment: &Environment) -> MySqlPool {
    let patience = Duration::from_secs(20);
    mysql::pool(&mysql::Config {
        url: environment.mysql_url(),
        connections_max: 2,
        acquire_timeout: patience,
        lock_wait_timeout_s: 5,
        select_timeout: patience,
    })
    .expect("the address is readable")
}

async fn verified(pool: &MySqlPool) -> Verified {
    let mut connection = pool.acquire().await.expect("MySQL answers");
    let limits = Limits {
        lines_max: 1_000_000,
        until: Instant::now() + Duration::from_secs(30),
    };
    verify(&mut connection, Link::START, None, limits)
        .await
        .expect("MySQL answers")
}

/// A database as it was before the chain, with what `insert` put into the log; then migrated.
async fn migrated(test_name: &str, insert: &str) -> (Environment, MySqlPool) {
    let environment = Environment::new(test_name).await;
    let pool = pool(&environment);
    for migration in MIGRATIONS.iter().filter(|migration| migration.version < CHAIN) {
        sqlx::raw_sql(AssertSqlSafe(migration.sql.as_str().to_owned()))
            .execute(&pool)
            .await
            .expect("it applies");
    }
    execute(&pool, insert).await;
    for migration in MIGRATIONS.iter().filter(|migration| migration.version >= CHAIN) {
        sqlx::raw_sql(AssertSqlSafe(migration.sql.as_str().to_owned()))
            .execute(&pool)
            .await
            .expect("it applies");
    }
    (environment, pool)
}

#[tokio::test]
async fn lines_of_before_are_chained_in_their_order_and_a_line_says_how_many_they_are() {
    let (_environment, pool) = migrated(
        "audit_migrated",
        r#"INSERT INTO audit_log (audit_no, at, actor, action, object, detail) VALUES
            (3, '2026-01-02 03:04:05.000006', 'kim', 'key.revoke', 'o-1', '{"b": [1, 2.50],  "a": "é 🎉"}'),
            (9, '1999-12-31 23:59:59.999999', '김', 'dead-letter.replay', 'ö', NULL),
            (12, '2026-01-02 03:04:06', '', 'replay.plan', 'o-3', '{}')"#,
    )
    .await;
    let before = lines(&pool).await;
    let shown: Vec<_> = before
        .iter()
        .map(|line| {
            (
                line.audit_no,
                line.actor.as_str(),
                line.object.as_str(),
                line.detail.as_deref(),
            )
        })
        .collect();
    assert_eq!(
        shown,
        [
            (1, "kim", "o-1", Some(r#"{"a": "é 🎉", "b": [1, 2.5]}"#)),
            (2, "김", "ö", None),
            (3, "", "o-3", Some("{}")),
            (4, "migration", "audit_log", Some(r#"{"lines_before":3}"#)),
        ]
    );
    assert_eq!(before[1].at.timestamp_micros(), 946_684_799_999_999);
    act(&pool, "after").await;
    let verified = verified(&pool).await;
    assert_eq!((verified.faults, verified.looked_at), (0, 5), "{verified:?}");
    assert_eq!(verified.head, Some(verified.reached));
}

#[tokio::test]
async fn many_lines_of_before_are_chained_too() {
    let (_environment, pool) = migrated(
        "audit_migrated_many",
        "INSERT INTO audit_log (actor, action, object, detail)
         WITH RECURSIVE n AS (SELECT 1 AS i UNION ALL SELECT i + 1 FROM n WHERE i < 100)
         SELECT 'kim', 'test.act', CONCAT(a.i, '-', b.i), JSON_OBJECT('i', a.i) FROM n AS a, n AS b",
    )
    .await;
    let verified = verified(&pool).await;
    assert_eq!((verified.faults, verified.looked_at), (0, 10_001), "{verified:?}");
}

#[tokio::test]
async fn a_fresh_log_begins_with_its_first_act() {
    let (_environment, pool) = migrated("audit_fresh", "DO 0").await;
    assert_eq!(verified(&pool).await.head, Some(Link::START));
    act(&pool, "first").await;
    let first = lines(&pool).await.remove(0);
    assert_eq!((first.audit_no, first.previous_hash), (1, Link::START.hash));
}

/// A process of before this version must not leave a line outside the chain.
#[tokio::test]
async fn a_line_outside_the_chain_cannot_be_written_as_before() {
    let (_environment, pool) = migrated("audit_old_writer", "DO 0").await;
    let old = "INSERT INTO audit_log (actor, action, object, detail) VALUES ('kim', 'test.act', 'o', '{}')";
    assert!(sqlx::raw_sql(old).execute(&pool).await.is_err());
}
