//! Reading what is to be published. A bucket is always read from its beginning: ids
//! become visible out of order, so a reader that remembered how far it came would skip
//! the event of a transaction that took its id early and committed late.

use std::collections::HashMap;
use std::time::Duration;

use chrono::{DateTime, Utc};
use futures::TryStreamExt;
use headgate_runtime::process::PROCESS_BITS;
use headgate_schemas::ids::EventId;
use sqlx::mysql::MySqlRow;
use sqlx::{AssertSqlSafe, MySqlConnection, MySqlExecutor, Row};

use crate::Error;
use crate::bucket::Bucket;

/// What an event is about: the unit that keeps its order.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct AggregateRef {
    /// `campaign`, `claim`, or `record` for copied records.
    pub aggregate_type: String,
    /// Key of the record, unless it is a copy that brings its own.
    pub aggregate_id: Vec<u8>,
}

/// A row that waits to be published.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PendingRow {
    /// Which part of the outbox.
    pub bucket: Bucket,
    /// Its place there.
    pub id: u64,
    /// Deduplicated by.
    pub event_id: EventId,
    /// What it is about.
    pub aggregate: AggregateRef,
    /// `ce_type`.
    pub event_type: String,
    /// `ce_sequence`.
    pub sequence: u64,
    /// Where it goes.
    pub topic: String,
    /// The value.
    pub payload: Option<Vec<u8>>,
    /// Key of a copied record.
    pub raw_key: Option<Vec<u8>>,
    /// Headers of a copied record, in their stored form; `None` on events of our own.
    pub raw_headers: Option<Vec<u8>>,
    /// Trace of the request that caused it.
    pub traceparent: Option<String>,
    /// `ce_time`.
    pub created_at: DateTime<Utc>,
    /// Whether earlier rows of its aggregate are blocked, so that it joins them.
    pub blocked: bool,
}

/// Most rows of one bucket that one read returns.
pub const ROWS_MAX: u32 = 10_000;

/// How much one read returns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReadLimits {
    /// Most rows of one bucket.
    pub rows: u32,
    /// Of one bucket, the read ends with the row that reaches this many bytes of keys, values
    /// and headers.
    pub bytes: usize,
}

/// The next rows of some buckets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NextRows {
    /// In order of bucket and id.
    pub rows: Vec<PendingRow>,
    /// Whether rows were left because of their bytes.
    pub cut: bool,
}

impl PendingRow {
    /// Bytes of what has no fixed size.
    pub fn bytes(&self) -> usize {
        let of = |part: &Option<Vec<u8>>| part.as_ref().map_or(0, Vec::len);
        of(&self.payload) + of(&self.raw_key) + of(&self.raw_headers)
    }
}

/// Reads the next rows of some buckets. Whoever calls holds the leases on the buckets.
///
/// `may_be_blocked` says whether rows of these buckets may be blocked. Only the holder
/// blocks rows, so one that has once seen that there are none (see [`crate::blocked::buckets`])
/// knows until it blocks one.
pub async fn next_rows(
    connection: &mut MySqlConnection,
    buckets: &[Bucket],
    limits: ReadLimits,
    may_be_blocked: bool,
) -> Result<NextRows, Error> {
    if buckets.is_empty() {
        return Ok(NextRows {
            rows: Vec::new(),
            cut: false,
        });
    }
    // Rows and what blocks them come from one statement, that is, from one moment:
    // rows that an operator moves back are seen with their successors or not at all.
    let is_blocked = if may_be_blocked { IS_BLOCKED } else { "FALSE" };
    let next_of_bucket = format!("({COLUMNS}, {is_blocked} {NEXT})");
    let selects = vec![next_of_bucket; buckets.len()].join(" UNION ALL ");
    let mut select = sqlx::query(AssertSqlSafe(selects));
    for bucket in buckets {
        select = select.bind(bucket.get()).bind(limits.rows.min(ROWS_MAX));
    }
    let mut found = select.fetch(connection);
    let mut rows: Vec<PendingRow> = Vec::new();
    let mut bytes: HashMap<Bucket, usize> = HashMap::new();
    // The first id of a bucket that was read past, and not kept.
    let mut cut: HashMap<Bucket, u64> = HashMap::new();
    while let Some(row) = found.try_next().await? {
        let row = pending(&row)?;
        let of_bucket = bytes.entry(row.bucket).or_default();
        if *of_bucket >= limits.bytes {
            let first = cut.entry(row.bucket).or_insert(row.id);
            *first = row.id.min(*first);
        } else {
            *of_bucket += row.bytes();
            rows.push(row);
        }
    }
    // A union promises no order; what MySQL gives is sorted already.
    rows.retain(|row| cut.get(&row.bucket).is_none_or(|first| row.id < *first));
    rows.sort_by_key(|row| (row.bucket, row.id));
    Ok(NextRows {
        rows,
        cut: !cut.is_empty(),
    })
}

const COLUMNS: &str =
    "SELECT bucket, id, event_id, aggregate_type, aggregate_id, event_type, sequence, topic, payload,
            raw_key, raw_headers, traceparent, created_at";
const IS_BLOCKED: &str = "EXISTS (SELECT 1 FROM outbox_blocked AS head
            WHERE head.aggregate_type = outbox.aggregate_type AND head.aggregate_id = outbox.aggregate_id)";
/// FORCE INDEX: the table is empty one moment and full the next, and a plan made from
/// stale statistics would sort the whole bucket.
const NEXT: &str = "FROM outbox FORCE INDEX (PRIMARY) WHERE bucket = ? ORDER BY id LIMIT ?";

fn pending(row: &MySqlRow) -> Result<PendingRow, sqlx::Error> {
    Ok(PendingRow {
        bucket: row.try_get(0)?,
        id: row.try_get(1)?,
        event_id: row.try_get(2)?,
        aggregate: AggregateRef {
            aggregate_type: row.try_get(3)?,
            aggregate_id: row.try_get(4)?,
        },
        event_type: row.try_get(5)?,
        sequence: row.try_get(6)?,
        topic: row.try_get(7)?,
        payload: row.try_get(8)?,
        raw_key: row.try_get(9)?,
        raw_headers: row.try_get(10)?,
        traceparent: row.try_get(11)?,
        created_at: row.try_get(12)?,
        blocked: row.try_get(13)?,
    })
}

/// The oldest row of a bucket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Oldest {
    /// The bucket.
    pub bucket: Bucket,
    /// Id of its first row.
    pub id: u64,
}

impl Oldest {
    /// How long the row has been there by this process's clock, give or take the skew
    /// of the clock that made its id.
    pub fn age(&self, now: DateTime<Utc>) -> Duration {
        let now = u64::try_from(now.timestamp_micros()).unwrap_or_default();
        Duration::from_micros(now.saturating_sub(self.id >> PROCESS_BITS))
    }
}

/// The buckets that hold rows. One seek per bucket, however many rows there are.
pub async fn buckets_with_rows(on: impl MySqlExecutor<'_>) -> Result<Vec<Oldest>, Error> {
    let found = sqlx::query_as!(
        Oldest,
        r#"SELECT bucket AS "bucket: Bucket", MIN(id) AS "id!" FROM outbox FORCE INDEX (PRIMARY) GROUP BY bucket"#
    )
    .fetch_all(on)
    .await?;
    Ok(found)
}

/// How many rows wait to be published, counted up to `at_most`: a count walks the rows.
pub async fn count(on: impl MySqlExecutor<'_>, at_most: u64) -> Result<u64, Error> {
    let counted = sqlx::query_scalar!(
        "SELECT COUNT(*) FROM (SELECT 1 FROM outbox FORCE INDEX (PRIMARY) LIMIT ?) AS pending",
        at_most
    )
    .fetch_one(on)
    .await?;
    Ok(u64::try_from(counted).unwrap_or_default())
}
