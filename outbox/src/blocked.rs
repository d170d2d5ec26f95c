//! Rows that cannot be published, and the later rows of their aggregates. They lie in a
//! table of their own, where no range delete takes them, until an operator retries.
//!
//! Rows come here only in the marking transaction of the bucket's lease holder, and
//! leave only under the lock of the bucket's lease: so the two never cross.

use chrono::{DateTime, Utc};
use headgate_runtime::lease;
use headgate_schemas::ids::EventId;
use sqlx::{MySql, MySqlConnection, MySqlExecutor, MySqlPool, Transaction};

use crate::bucket::Bucket;
use crate::claim::PendingRow;
use crate::places::Places;
use crate::{Error, audit};

/// Why a row is blocked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, sqlx::Type)]
#[sqlx(rename_all = "lowercase")]
pub enum BlockedStatus {
    /// Its attempts are exhausted.
    Failed,
    /// It is behind a failed row of its aggregate.
    Waiting,
}

impl BlockedStatus {
    /// The word in MySQL, in metrics and in answers.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Failed => "failed",
            Self::Waiting => "waiting",
        }
    }
}

/// A blocked row, as operators see it.
#[derive(Clone, Debug)]
pub struct BlockedRow {
    /// Which part of the outbox.
    pub bucket: Bucket,
    /// Its place there.
    pub id: u64,
    /// The event.
    pub event_id: EventId,
    /// `campaign`, `claim`, or `record`.
    pub aggregate_type: String,
    /// Which one.
    pub aggregate_id: String,
    /// `ce_type`.
    pub event_type: String,
    /// `ce_sequence`.
    pub sequence: u64,
    /// Where it was to go.
    pub topic: String,
    /// Failed, or waiting behind one that failed.
    pub status: BlockedStatus,
    /// How often it was tried.
    pub attempts: u16,
    /// How often it was allowed to be tried.
    pub max_attempts: u16,
    /// Why the last attempt failed.
    pub last_error: Option<String>,
    /// When it was written.
    pub created_at: DateTime<Utc>,
    /// When it was put here.
    pub blocked_at: DateTime<Utc>,
}

/// A place in the list of blocked rows: behind this one goes the next page.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Position {
    /// Bucket of the last row seen.
    pub bucket: u16,
    /// Id of the last row seen.
    pub id: u64,
}

/// Most rows of one page.
pub const PAGE_ROWS_MAX: u32 = 1_000;
/// Longest error that is kept, in characters.
const ERROR_CHARS_MAX: usize = 1_024;

/// Lists blocked rows behind `after`, at most `limit`.
pub async fn list(pool: &MySqlPool, after: Position, limit: u32) -> Result<Vec<BlockedRow>, Error> {
    let rows = sqlx::query_as!(
        BlockedRow,
        r#"SELECT bucket AS "bucket: Bucket", id, event_id AS "event_id: EventId", aggregate_type,
                  CAST(aggregate_id AS CHAR) AS "aggregate_id!: String", event_type, sequence, topic,
                  status AS "status: BlockedStatus", attempts, max_attempts, last_error,
                  created_at AS "created_at: DateTime<Utc>", blocked_at AS "blocked_at: DateTime<Utc>"
           FROM outbox_blocked WHERE (bucket, id) > (?, ?) ORDER BY bucket, id LIMIT ?"#,
        after.bucket,
        after.id,
        limit.min(PAGE_ROWS_MAX)
    )
    .fetch_all(pool)
    .await?;
    Ok(rows)
}

/// How many rows are blocked, by status: failed, then waiting.
pub async fn count(on: impl MySqlExecutor<'_>) -> Result<(u64, u64), Error> {
    let counted = sqlx::query!(
        r#"SELECT CAST(COALESCE(SUM(status = 'failed'), 0) AS UNSIGNED) AS "failed!: u64", COUNT(*) AS "all!: u64" FROM outbox_blocked"#
    )
    .fetch_one(on)
    .await?;
    Ok((counted.failed, counted.all - counted.failed))
}

/// Moves the blocked rows of an aggregate back to where the relay finds them, under
/// their old ids and so in their old order, and writes it to the audit log. Returns how
/// many. Wake the relays afterwards.
pub async fn retry(
    pool: &MySqlPool,
    aggregate_type: &str,
    aggregate_id: &str,
    actor: &str,
) -> Result<u64, Error> {
    let mut transaction = pool.begin().await?;
    let moved = move_back(&mut transaction, aggregate_type, aggregate_id, actor).await;
    match moved {
        Ok(rows) => {
            transaction.commit().await?;
            Ok(rows)
        }
        Err(error) => {
            transaction.rollback().await?;
            Err(error)
        }
    }
}

async fn move_back(
    transaction: &mut Transaction<'_, MySql>,
    aggregate_type: &str,
    aggregate_id: &str,
    actor: &str,
) -> Result<u64, Error> {
    // The relay that holds the bucket, whoever it is, moves nothing here meanwhile.
    lease::lock(transaction, &Bucket::of(aggregate_id).lease_name()).await?;
    let moved = sqlx::query!(
        "INSERT INTO outbox (bucket, id, event_id, aggregate_type, aggregate_id, event_type, sequence, topic, payload,
             raw_key, raw_headers, traceparent, created_at, after_id)
         SELECT bucket, id, event_id, aggregate_type, aggregate_id, event_type, sequence, topic, payload,
             raw_key, raw_headers, traceparent, created_at, after_id
         FROM outbox_blocked WHERE aggregate_type = ? AND aggregate_id = ?",
        aggregate_type,
        aggregate_id.as_bytes()
    )
    .execute(&mut **transaction)
    .await?
    .rows_affected();
    sqlx::query!(
        "DELETE FROM outbox_blocked WHERE aggregate_type = ? AND aggregate_id = ?",
        aggregate_type,
        aggregate_id.as_bytes()
    )
    .execute(&mut **transaction)
    .await?;
    // Where nothing was blocked nothing was done.
    if moved > 0 {
        let object = format!("{aggregate_type}/{aggregate_id}");
        let detail = serde_json::json!({ "rows": moved });
        audit::record(transaction, actor, "outbox.retry", &object, &detail).await?;
    }
    Ok(moved)
}

/// The buckets that have blocked rows.
pub async fn buckets(connection: &mut MySqlConnection) -> Result<Vec<Bucket>, Error> {
    let with_rows = sqlx::query_scalar!(
        r#"SELECT DISTINCT bucket AS "bucket: Bucket" FROM outbox_blocked FORCE INDEX (PRIMARY)"#
    )
    .fetch_all(connection)
    .await?;
    Ok(with_rows)
}

/// Puts a row here whose attempts are exhausted. It is deleted from the outbox by
/// whoever calls, in the same transaction.
pub(crate) async fn fail(
    connection: &mut MySqlConnection,
    row: &PendingRow,
    (attempts, max_attempts): (u16, u16),
    error: &str,
) -> Result<(), sqlx::Error> {
    let error: String = error.chars().take(ERROR_CHARS_MAX).collect();
    sqlx::query!(
        "INSERT INTO outbox_blocked (bucket, id, event_id, aggregate_type, aggregate_id, event_type, sequence, topic,
             payload, raw_key, raw_headers, traceparent, created_at,
             status, attempts, max_attempts, last_error, blocked_at, after_id)
         SELECT bucket, id, event_id, aggregate_type, aggregate_id, event_type, sequence, topic, payload,
             raw_key, raw_headers, traceparent, created_at, 'failed', ?, ?, ?, UTC_TIMESTAMP(6), after_id
         FROM outbox FORCE INDEX (PRIMARY) WHERE bucket = ? AND id = ?",
        attempts,
        max_attempts,
        error,
        row.bucket,
        row.id
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// Puts those of `places` here whose aggregate has blocked rows. The others stay: an
/// operator has moved the rows that they would wait behind.
pub(crate) async fn wait(
    connection: &mut MySqlConnection,
    places: &Places,
    max_attempts: u16,
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "INSERT INTO outbox_blocked (bucket, id, event_id, aggregate_type, aggregate_id, event_type, sequence, topic,
             payload, raw_key, raw_headers, traceparent, created_at,
             status, attempts, max_attempts, last_error, blocked_at, after_id)
         SELECT o.bucket, o.id, o.event_id, o.aggregate_type, o.aggregate_id, o.event_type, o.sequence, o.topic,
             o.payload, o.raw_key, o.raw_headers, o.traceparent, o.created_at,
             'waiting', 0, ?, NULL, UTC_TIMESTAMP(6), o.after_id
         FROM JSON_TABLE(?, '$[*]' COLUMNS (bucket SMALLINT UNSIGNED PATH '$[0]', id BIGINT UNSIGNED PATH '$[1]'))
             AS place
         STRAIGHT_JOIN outbox AS o ON o.bucket = place.bucket AND o.id = place.id
         WHERE EXISTS (SELECT 1 FROM outbox_blocked AS head
                       WHERE head.aggregate_type = o.aggregate_type AND head.aggregate_id = o.aggregate_id)",
        max_attempts,
        places.as_str()
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// Deletes those of `places` from the outbox that [`fail`] and [`wait`] have put here.
/// Returns how many.
pub(crate) async fn remove_moved(
    connection: &mut MySqlConnection,
    places: &Places,
) -> Result<u64, sqlx::Error> {
    let removed = sqlx::query!(
        "DELETE o FROM JSON_TABLE(?, '$[*]' COLUMNS (bucket SMALLINT UNSIGNED PATH '$[0]',
                                                     id BIGINT UNSIGNED PATH '$[1]')) AS place
         STRAIGHT_JOIN outbox_blocked AS b ON b.bucket = place.bucket AND b.id = place.id
         STRAIGHT_JOIN outbox AS o ON o.bucket = place.bucket AND o.id = place.id",
        places.as_str()
    )
    .execute(connection)
    .await?;
    Ok(removed.rows_affected())
}
