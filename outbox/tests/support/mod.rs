//! What the tests of this crate share.
#![expect(dead_code, reason = "each test file uses its part")]

use std::time::Duration;

use chrono::Utc;
use headgate_outbox::Error;
use headgate_outbox::bucket::Bucket;
use headgate_outbox::claim::{self, PendingRow, ReadLimits};
use headgate_outbox::mark::{Fate, Marked, Marking, Outcome};
use headgate_outbox::write::{EventWriter, OutboxRow};
use headgate_runtime::lease::{self, Lease};
use headgate_runtime::mysql;
use headgate_schemas::ids::EventId;
use headgate_testkit::Environment;
use sqlx::MySqlPool;

/// Longest wait for something to become true.
pub const LIMIT: Duration = Duration::from_secs(20);

/// A pool as the product's processes have it.
pub fn pool(environment: &Environment) -> MySqlPool {
    mysql::pool(&mysql::Config {
        url: environment.mysql_url(),
        connections_max: 8,
        acquire_timeout: LIMIT,
        lock_wait_timeout_s: 2,
        select_timeout: LIMIT,
    })
    .expect("the address is readable")
}

/// A bucket of one's own.
pub fn bucket(number: usize) -> Bucket {
    Bucket::all().nth(number).expect("a bucket")
}

/// The lease on a bucket, held for long.
pub async fn lease(pool: &MySqlPool, bucket: Bucket, holder: &str) -> Lease {
    lease::acquire(pool, &bucket.lease_name(), holder, Duration::from_hours(1))
        .await
        .expect("MySQL answers")
        .expect("nobody else holds it")
}

/// An event's row.
pub fn row(bucket: Bucket, id: u64, aggregate_id: &str, sequence: u64) -> OutboxRow {
    OutboxRow {
        bucket,
        id,
        event_id: EventId::generate(),
        aggregate_type: "claim",
        aggregate_id: aggregate_id.to_owned(),
        event_type: "io.headgate.coupons.ClaimAdmitted".to_owned(),
        sequence,
        topic: "headgate.coupons".to_owned(),
        payload: Some(vec![0, 0, 0, 0, 1, 2, 3]),
        copied: None,
        traceparent: None,
        created_at: Utc::now(),
        after_id: 0,
    }
}

/// Commits rows.
pub async fn write(pool: &MySqlPool, rows: &[OutboxRow]) {
    let mut transaction = pool.begin().await.expect("MySQL answers");
    EventWriter::write(&mut transaction, rows)
        .await
        .expect("the rows are written");
    transaction.commit().await.expect("the rows are committed");
}

/// Reads up to `rows_max` rows of a bucket.
pub async fn read(pool: &MySqlPool, bucket: Bucket, rows_max: u32) -> Vec<PendingRow> {
    let mut connection = pool.acquire().await.expect("MySQL answers");
    let limits = ReadLimits {
        rows: rows_max,
        bytes: usize::MAX,
    };
    claim::next_rows(&mut connection, &[bucket], limits, true)
        .await
        .expect("MySQL answers")
        .rows
}

/// Marks on a connection of the pool.
pub async fn mark(pool: &MySqlPool, outcomes: &[Outcome<'_>], marking: Marking) -> Result<Marked, Error> {
    let mut connection = pool.acquire().await?;
    headgate_outbox::mark::mark(&mut connection, outcomes, marking).await
}

/// As Kafka would acknowledge them, one behind the other.
pub fn all_published(rows: &[PendingRow]) -> Vec<Fate> {
    (0..)
        .zip(rows)
        .map(|(offset, _)| Fate::Published { partition: 0, offset })
        .collect()
}

/// Without an archive.
pub const PLAIN: Marking = Marking {
    archive: None,
    max_attempts: 3,
};

/// Deletes what a failed case left in a bucket: by key, so that other buckets are not
/// waited for.
pub async fn empty(pool: &MySqlPool, bucket: Bucket) {
    for row in read(pool, bucket, claim::ROWS_MAX).await {
        sqlx::query("DELETE FROM outbox WHERE bucket = ? AND id = ?")
            .bind(bucket)
            .bind(row.id)
            .execute(pool)
            .await
            .expect("MySQL answers");
    }
}
