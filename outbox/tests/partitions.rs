//! Day partitions on the real MySQL: made once, whoever asks, and dropped whole.

mod support;

use chrono::{Days, NaiveDate};
use headgate_outbox::partitions::{DayTable, ensure, oldest_day};
use headgate_outbox::retention::{Retention, drop_before};
use headgate_testkit::Environment;
use sqlx::MySqlPool;

async fn partitions(pool: &MySqlPool, table: DayTable) -> Vec<String> {
    sqlx::query_scalar(
        "SELECT CAST(PARTITION_NAME AS CHAR) FROM information_schema.PARTITIONS
         WHERE TABLE_SCHEMA = DATABASE() AND TABLE_NAME = ? ORDER BY PARTITION_ORDINAL_POSITION",
    )
    .bind(table.name())
    .fetch_all(pool)
    .await
    .expect("MySQL answers")
}

async fn today(pool: &MySqlPool) -> NaiveDate {
    sqlx::query_scalar("SELECT UTC_DATE()")
        .fetch_one(pool)
        .await
        .expect("MySQL answers")
}

async fn inbox_row(pool: &MySqlPool, day: NaiveDate, event: u8) {
    sqlx::query("INSERT INTO inbox (event_day, group_no, event_id, state) VALUES (?, 1, ?, 'applied')")
        .bind(day)
        .bind([event; 16].as_slice())
        .execute(pool)
        .await
        .expect("the row is written");
}

#[tokio::test]
async fn several_processes_make_each_day_once() {
    let environment = Environment::migrated("partitions_once").await;
    let pool = support::pool(&environment);
    let asked = (0..4).map(|_| ensure(&pool, 3));
    for made in futures::future::join_all(asked).await {
        made.expect("each process finds its days");
    }
    for table in DayTable::ALL {
        // Yesterday, today, three days ahead, and what lies behind them.
        assert_eq!(partitions(&pool, table).await.len(), 6, "{table:?}");
    }
    ensure(&pool, 4).await.expect("one more day");
    assert_eq!(partitions(&pool, DayTable::Inbox).await.len(), 7);
}

#[tokio::test]
async fn rows_that_came_before_their_day_was_made_move_into_it() {
    let environment = Environment::migrated("partitions_late").await;
    let pool = support::pool(&environment);
    let today = today(&pool).await;
    inbox_row(&pool, today, 1).await;
    ensure(&pool, 1).await.expect("the days are made");
    let found: i64 = sqlx::query_scalar(sqlx::AssertSqlSafe(format!(
        "SELECT COUNT(*) FROM inbox PARTITION ({})",
        today.format("p%Y%m%d")
    )))
    .fetch_one(&pool)
    .await
    .expect("today has a partition");
    assert_eq!(found, 1);
}

#[tokio::test]
async fn only_days_that_are_old_enough_are_dropped() {
    let environment = Environment::migrated("partitions_drop").await;
    let pool = support::pool(&environment);
    let today = today(&pool).await;
    // Ten days, as an installation of ten days ago would have them.
    for back in (0..10).rev() {
        let day = today - Days::new(back);
        let statement = format!(
            "ALTER TABLE inbox REORGANIZE PARTITION pmax INTO (PARTITION {} VALUES LESS THAN ('{}'),
                 PARTITION pmax VALUES LESS THAN (MAXVALUE))",
            day.format("p%Y%m%d"),
            day + Days::new(1)
        );
        sqlx::raw_sql(sqlx::AssertSqlSafe(statement))
            .execute(&pool)
            .await
            .expect("a day");
        inbox_row(&pool, day, u8::try_from(back).expect("small")).await;
    }
    let retention = Retention {
        inbox_days: 8,
        archive_days: 8,
    };
    let dropped = drop_before(&pool, retention).await.expect("MySQL answers");
    assert_eq!(dropped, [(DayTable::Inbox, today - Days::new(9))]);
    let oldest: NaiveDate = sqlx::query_scalar("SELECT MIN(event_day) FROM inbox")
        .fetch_one(&pool)
        .await
        .expect("MySQL answers");
    assert_eq!(oldest, today - Days::new(8));
    assert_eq!(
        oldest_day(&pool, DayTable::Inbox).await.expect("MySQL answers"),
        Some(oldest)
    );
}

#[tokio::test]
async fn a_session_that_dies_half_way_frees_the_turn() {
    let environment = Environment::migrated("partitions_turn").await;
    let pool = support::pool(&environment);
    // The future is dropped while it holds the turn: at its first wait after taking it.
    let mut first = Box::pin(ensure(&pool, 2));
    headgate_testkit::eventually("the turn to be taken", support::LIMIT, async || {
        let held = tokio::select! {
            biased;
            _ = &mut first => panic!("it ends only after making partitions"),
            held = sqlx::query_scalar::<_, Option<i64>>(
                "SELECT CAST(IS_USED_LOCK(CONCAT('headgate-partitions-', CRC32(DATABASE()))) AS SIGNED)",
            ).fetch_one(&pool) => held.expect("MySQL answers"),
        };
        held.map(drop)
    })
    .await;
    drop(first);
    ensure(&pool, 2).await.expect("the turn is free again");
    assert_eq!(partitions(&pool, DayTable::OutboxArchive).await.len(), 5);
}
