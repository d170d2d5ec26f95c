//! Marking on the real MySQL: what is deleted, what is kept, what is copied.

mod support;

use headgate_outbox::blocked::{self, BlockedStatus, Position};
use headgate_outbox::claim;
use headgate_outbox::mark::{Fate, Marking, Outcome, Removal};
use headgate_outbox::write::CopiedRecord;
use headgate_runtime::lease;
use headgate_runtime::process::ProcessNumber;
use headgate_schemas::headers::RawHeaders;
use headgate_testkit::Environment;
use sqlx::{MySqlPool, Row};
use std::time::Duration;

async fn ids(pool: &MySqlPool, table: &'static str) -> Vec<u64> {
    sqlx::query_scalar(sqlx::AssertSqlSafe(format!("SELECT id FROM {table} ORDER BY id")))
        .fetch_all(pool)
        .await
        .expect("MySQL answers")
}

async fn statuses(pool: &MySqlPool) -> Vec<(u64, BlockedStatus)> {
    let rows = blocked::list(pool, Position::default(), 100).await;
    rows.expect("MySQL answers")
        .iter()
        .map(|row| (row.id, row.status))
        .collect()
}

#[tokio::test]
async fn a_row_that_came_late_into_the_range_stays() {
    let environment = Environment::migrated("mark_late").await;
    let pool = support::pool(&environment);
    let bucket = support::bucket(5);
    let lease = support::lease(&pool, bucket, "relay-1").await;
    support::write(
        &pool,
        &[support::row(bucket, 10, "a", 1), support::row(bucket, 30, "b", 1)],
    )
    .await;
    let rows = support::read(&pool, bucket, 2).await;
    support::write(&pool, &[support::row(bucket, 20, "c", 1)]).await;
    let fates = support::all_published(&rows);
    let outcome = Outcome {
        lease: &lease,
        bucket,
        rows: &rows,
        fates: &fates,
        removal: Removal::Range,
    };
    let marked = support::mark(&pool, &[outcome], support::PLAIN)
        .await
        .expect("MySQL answers");
    assert!(marked.range_refused);
    assert_eq!(marked.published, 2);
    assert_eq!(ids(&pool, "outbox").await, [20]);
}

#[tokio::test]
async fn open_transactions_behind_the_range_are_not_waited_for() {
    let environment = Environment::migrated("mark_behind").await;
    let pool = support::pool(&environment);
    let bucket = support::bucket(5);
    let lease = support::lease(&pool, bucket, "relay-1").await;
    support::write(
        &pool,
        &[support::row(bucket, 10, "a", 1), support::row(bucket, 20, "b", 1)],
    )
    .await;
    let rows = support::read(&pool, bucket, 2).await;
    // Just behind the range, in the same bucket and at the beginning of the next.
    let mut open = pool.begin().await.expect("MySQL answers");
    let behind = [
        support::row(bucket, 21, "c", 1),
        support::row(support::bucket(6), 1, "d", 1),
    ];
    headgate_outbox::write::EventWriter::write(&mut open, &behind)
        .await
        .expect("they are new");
    let fates = support::all_published(&rows);
    let outcome = Outcome {
        lease: &lease,
        bucket,
        rows: &rows,
        fates: &fates,
        removal: Removal::Range,
    };
    // Below the pool's lock wait timeout of two seconds.
    let marked = tokio::time::timeout(
        Duration::from_millis(1_500),
        support::mark(&pool, &[outcome], support::PLAIN),
    )
    .await;
    let marked = marked.expect("nobody is waited for").expect("MySQL answers");
    assert_eq!((marked.published, marked.range_refused), (2, false));
    open.commit().await.expect("the commit is answered");
    assert_eq!(ids(&pool, "outbox").await.len(), 2);
}

#[tokio::test]
async fn a_holder_that_lost_its_lease_marks_nothing() {
    let environment = Environment::migrated("mark_zombie").await;
    let pool = support::pool(&environment);
    let bucket = support::bucket(0);
    let name = bucket.lease_name();
    let lease = lease::acquire(&pool, &name, "relay-1", Duration::ZERO)
        .await
        .expect("MySQL answers")
        .expect("free");
    support::write(&pool, &[support::row(bucket, 10, "a", 1)]).await;
    let rows = support::read(&pool, bucket, 10).await;
    let taken_over = support::lease(&pool, bucket, "relay-2").await;
    assert!(taken_over.epoch > lease.epoch);
    let fates = support::all_published(&rows);
    for removal in [Removal::Range, Removal::Ids] {
        let outcome = Outcome {
            lease: &lease,
            bucket,
            rows: &rows,
            fates: &fates,
            removal,
        };
        let marked = support::mark(&pool, &[outcome], support::PLAIN)
            .await
            .expect("MySQL answers");
        assert_eq!((marked.published, marked.lost), (0, vec![bucket]));
    }
    assert_eq!(ids(&pool, "outbox").await, [10]);
}

#[tokio::test]
async fn the_archive_says_what_was_published_where_and_by_whom() {
    let environment = Environment::migrated("mark_archive").await;
    let pool = support::pool(&environment);
    let (one, other) = (support::bucket(1), support::bucket(2));
    let leases = [
        support::lease(&pool, one, "relay-7").await,
        support::lease(&pool, other, "relay-7").await,
    ];
    let mut copied = support::row(other, 20, "dead", 0);
    let mut headers = RawHeaders::default();
    headers.push("dlq-group", "g");
    copied.copied = Some(CopiedRecord {
        key: Some(vec![0, 255]),
        headers: headers.clone(),
    });
    support::write(
        &pool,
        &[
            support::row(one, 10, "a", 1),
            support::row(one, 11, "a", 2),
            copied.clone(),
        ],
    )
    .await;
    let (first, second) = (
        support::read(&pool, one, 10).await,
        support::read(&pool, other, 10).await,
    );
    let fates = support::all_published(&first);
    let outcome = |number: usize| Outcome {
        lease: &leases[number],
        bucket: [one, other][number],
        rows: [&first, &second][number],
        fates: &fates[..[2, 1][number]],
        removal: [Removal::Range, Removal::Ids][number],
    };
    let marking = Marking {
        archive: Some(ProcessNumber::from(7)),
        max_attempts: 3,
    };
    let marked = support::mark(&pool, &[outcome(0), outcome(1)], marking)
        .await
        .expect("MySQL answers");
    assert_eq!(marked.published, 3);
    // Again, as after a lost answer: nothing is copied or deleted twice.
    let again = [
        Outcome {
            removal: Removal::Ids,
            ..outcome(0)
        },
        outcome(1),
    ];
    assert_eq!(
        support::mark(&pool, &again, marking)
            .await
            .expect("MySQL answers")
            .published,
        0
    );
    assert!(ids(&pool, "outbox").await.is_empty());
    let archived = archived(&pool).await;
    let seen: Vec<(u64, i32, i64, u32, i64)> = archived
        .iter()
        .map(|row| (row.get(0), row.get(1), row.get(2), row.get(3), row.get(7)))
        .collect();
    assert_eq!(seen, [(10, 0, 0, 7, 1), (11, 0, 1, 7, 1), (20, 0, 0, 7, 1)]);
    let bytes = |column: usize| archived[2].get::<Option<Vec<u8>>, _>(column);
    assert_eq!(
        [bytes(4), bytes(5), bytes(6)],
        [Some(vec![0, 255]), Some(headers.to_bytes()), copied.payload]
    );
}

async fn archived(pool: &MySqlPool) -> Vec<sqlx::mysql::MySqlRow> {
    sqlx::query(
        "SELECT id, kafka_partition, kafka_offset, published_by, raw_key, raw_headers, payload,
                published_day = UTC_DATE() AND published_at >= created_at - INTERVAL 1 SECOND
         FROM outbox_archive ORDER BY id",
    )
    .fetch_all(pool)
    .await
    .expect("MySQL answers")
}

#[tokio::test]
async fn a_failed_row_takes_its_successors_with_it_and_a_retry_brings_them_back_in_order() {
    let environment = Environment::migrated("mark_blocked").await;
    let pool = support::pool(&environment);
    let bucket = headgate_outbox::bucket::Bucket::of("bad");
    let lease = support::lease(&pool, bucket, "relay-1").await;
    let rows = [
        support::row(bucket, 10, "bad", 1),
        support::row(bucket, 11, "good", 1),
        support::row(bucket, 12, "bad", 2),
    ];
    support::write(&pool, &rows).await;
    let read = support::read(&pool, bucket, 10).await;
    let failed = Fate::Failed {
        attempts: 3,
        error: "too large".to_owned(),
    };
    let published = Fate::Published {
        partition: 0,
        offset: 0,
    };
    let fates = [failed, published, Fate::Waiting];
    let outcome = |rows, fates| Outcome {
        lease: &lease,
        bucket,
        rows,
        fates,
        removal: Removal::Range,
    };
    let marked = support::mark(&pool, &[outcome(&read, &fates)], support::PLAIN)
        .await
        .expect("MySQL answers");
    assert_eq!((marked.published, marked.blocked), (1, 2));
    assert!(ids(&pool, "outbox").await.is_empty());
    assert_eq!(
        statuses(&pool).await,
        [(10, BlockedStatus::Failed), (12, BlockedStatus::Waiting)]
    );

    // A newcomer joins; one of another aggregate does not.
    support::write(
        &pool,
        &[
            support::row(bucket, 20, "bad", 3),
            support::row(bucket, 21, "good", 2),
        ],
    )
    .await;
    let read = support::read(&pool, bucket, 10).await;
    assert_eq!(
        read.iter().map(|row| row.blocked).collect::<Vec<_>>(),
        [true, false]
    );
    let fates = [Fate::Waiting, Fate::Left];
    let marked = support::mark(&pool, &[outcome(&read, &fates)], support::PLAIN)
        .await
        .expect("MySQL answers");
    assert_eq!(marked.blocked, 1);
    assert_eq!(ids(&pool, "outbox").await, [21]);

    let moved = blocked::retry(&pool, "claim", "bad", "ops@example.com")
        .await
        .expect("MySQL answers");
    assert_eq!(moved, 3);
    assert_eq!(ids(&pool, "outbox").await, [10, 12, 20, 21]);
    assert!(statuses(&pool).await.is_empty());
    let (actor, object): (String, String) =
        sqlx::query_as("SELECT actor, object FROM audit_log WHERE action = 'outbox.retry'")
            .fetch_one(&pool)
            .await
            .expect("the act is written down");
    assert_eq!(
        (actor.as_str(), object.as_str()),
        ("ops@example.com", "claim/bad")
    );
}

#[tokio::test]
async fn a_newcomer_does_not_wait_behind_rows_that_were_moved_back_meanwhile() {
    let environment = Environment::migrated("mark_retry_race").await;
    let pool = support::pool(&environment);
    let bucket = headgate_outbox::bucket::Bucket::of("bad");
    let lease = support::lease(&pool, bucket, "relay-1").await;
    let outcome = |rows, fates| Outcome {
        lease: &lease,
        bucket,
        rows,
        fates,
        removal: Removal::Ids,
    };
    support::write(&pool, &[support::row(bucket, 10, "bad", 1)]).await;
    let read = support::read(&pool, bucket, 10).await;
    let fates = [Fate::Failed {
        attempts: 3,
        error: "too large".to_owned(),
    }];
    support::mark(&pool, &[outcome(&read, &fates)], support::PLAIN)
        .await
        .expect("MySQL answers");
    support::write(&pool, &[support::row(bucket, 20, "bad", 2)]).await;
    let read = support::read(&pool, bucket, 10).await;
    assert!(read[0].blocked);
    // The operator comes between the reading and the marking.
    blocked::retry(&pool, "claim", "bad", "ops")
        .await
        .expect("MySQL answers");
    let marked = support::mark(&pool, &[outcome(&read, &[Fate::Waiting])], support::PLAIN)
        .await
        .expect("MySQL answers");
    assert_eq!(marked.blocked, 0);
    assert_eq!(ids(&pool, "outbox").await, [10, 20]);
    assert!(
        support::read(&pool, bucket, 10)
            .await
            .iter()
            .all(|row| !row.blocked)
    );
}

#[tokio::test]
async fn buckets_with_rows_are_found_with_their_oldest() {
    let environment = Environment::migrated("mark_oldest").await;
    let pool = support::pool(&environment);
    let rows = [
        support::row(support::bucket(3), 9, "a", 1),
        support::row(support::bucket(3), 7, "b", 1),
        support::row(support::bucket(15), 8, "c", 1),
    ];
    support::write(&pool, &rows).await;
    let found = claim::buckets_with_rows(&pool).await.expect("MySQL answers");
    let found: Vec<_> = found
        .iter()
        .map(|oldest| (oldest.bucket.get(), oldest.id))
        .collect();
    assert_eq!(found, [(3, 7), (15, 8)]);
    assert_eq!(claim::count(&pool, 2).await.expect("MySQL answers"), 2);
    assert_eq!(claim::count(&pool, 100).await.expect("MySQL answers"), 3);
}
