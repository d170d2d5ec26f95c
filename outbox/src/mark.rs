//! Marking: what was published leaves the outbox, and what failed leaves it for
//! [`crate::blocked`], in one transaction under the leases of its buckets.
//!
//! **Invariant:** nothing is deleted that was not acknowledged by Kafka. A range delete
//! also takes rows that were committed inside the range after it was read; so it counts
//! when it deleted exactly as many rows as were read, and is rolled back otherwise. It
//! is used once per batch: after anything unexpected (above all an unknown outcome of
//! the commit, after which a count may be right by chance) rows are deleted by id.

use headgate_runtime::lease::{self, Lease};
use headgate_runtime::mysql::{Fault, fault};
use headgate_runtime::process::ProcessNumber;
use sqlx::{Connection, MySqlConnection};

use crate::bucket::Bucket;
use crate::claim::PendingRow;
use crate::places::Places;
use crate::{Error, blocked};

/// What became of a row that was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fate {
    /// Kafka has acknowledged it.
    Published {
        /// Where it lies.
        partition: i32,
        /// And where there.
        offset: i64,
    },
    /// Its attempts are exhausted.
    Failed {
        /// How many there were.
        attempts: u16,
        /// Why the last one failed.
        error: String,
    },
    /// It joins the blocked rows of its aggregate.
    Waiting,
    /// It stays and will be read again.
    Left,
}

/// What became of the rows read from one bucket.
#[derive(Clone, Copy, Debug)]
pub struct Outcome<'b> {
    /// The lease under which they were read.
    pub lease: &'b Lease,
    /// The bucket.
    pub bucket: Bucket,
    /// The rows, in order of id.
    pub rows: &'b [PendingRow],
    /// The fate of each.
    pub fates: &'b [Fate],
    /// How published rows are deleted. [`Removal::Range`] is allowed once for a batch.
    pub removal: Removal,
}

/// How published rows are deleted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Removal {
    /// From the first to the last, if that is exactly what was read. Cheap for a long
    /// batch from a backlog; where writers are at work in the range it has to wait for
    /// them, and mostly in vain.
    Range,
    /// Each by its id.
    Ids,
}

/// How to mark.
#[derive(Clone, Copy, Debug)]
pub struct Marking {
    /// Who publishes, when published rows go to the archive; `None`: they are deleted.
    pub archive: Option<ProcessNumber>,
    /// Written to blocked rows.
    pub max_attempts: u16,
}

/// What marking did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Marked {
    /// Published rows that were deleted.
    pub published: u64,
    /// Rows that were blocked.
    pub blocked: u64,
    /// Buckets whose lease was lost: nothing was done there.
    pub lost: Vec<Bucket>,
    /// Whether a range held rows that were not read.
    pub range_refused: bool,
}

/// How often a transaction is tried that meets deadlocks or lock waits.
const ATTEMPTS_MAX: u32 = 5;

/// Marks the outcomes of one round in one transaction.
///
/// After an error the outcome is unknown: call it again with [`Removal::Ids`] before
/// anything else is read from these buckets. Waiting for the lease's row, it first waits
/// for the transaction whose outcome is unknown.
pub async fn mark(
    connection: &mut MySqlConnection,
    outcomes: &[Outcome<'_>],
    marking: Marking,
) -> Result<Marked, Error> {
    let mut by_ids = false;
    let mut range_refused = false;
    let mut attempt = 1;
    loop {
        match mark_once(connection, outcomes, marking, by_ids).await {
            Ok(Some(marked)) => {
                return Ok(Marked {
                    range_refused,
                    ..marked
                });
            }
            Ok(None) => range_refused = true,
            Err(error) if attempt < ATTEMPTS_MAX && fault(&error) == Fault::Contention => attempt += 1,
            Err(error) => return Err(error.into()),
        }
        by_ids = true;
    }
}

/// `None`: a range held rows that were not read, and nothing was done.
async fn mark_once(
    connection: &mut MySqlConnection,
    outcomes: &[Outcome<'_>],
    marking: Marking,
    by_ids: bool,
) -> Result<Option<Marked>, sqlx::Error> {
    let mut transaction = connection.begin().await?;
    match within(&mut transaction, outcomes, marking, by_ids).await {
        Ok(Some(marked)) => {
            headgate_runtime::crash_point!("relay.inside-mark-before-commit");
            transaction.commit().await?;
            Ok(Some(marked))
        }
        Ok(None) => {
            transaction.rollback().await?;
            Ok(None)
        }
        Err(error) => {
            // The first error is what matters; a server that is away rolls back itself.
            let _rolled_back = transaction.rollback().await;
            Err(error)
        }
    }
}

async fn within(
    connection: &mut MySqlConnection,
    outcomes: &[Outcome<'_>],
    marking: Marking,
    by_ids: bool,
) -> Result<Option<Marked>, sqlx::Error> {
    let mut marked = Marked::default();
    let mut held: Vec<&Outcome<'_>> = Vec::with_capacity(outcomes.len());
    for outcome in outcomes {
        if lease::fence(connection, outcome.lease).await? {
            held.push(outcome);
        } else {
            marked.lost.push(outcome.bucket);
        }
    }
    marked.blocked = block(connection, &held, marking.max_attempts).await?;
    let archived = match marking.archive {
        Some(process) => Some(archive(connection, &held, process).await?),
        None => None,
    };
    for outcome in held
        .iter()
        .filter(|outcome| !by_ids && outcome.removal == Removal::Range)
    {
        match delete_range(connection, outcome).await? {
            Some(deleted) => marked.published += deleted,
            None => return Ok(None),
        }
    }
    held.retain(|outcome| by_ids || outcome.removal == Removal::Ids);
    marked.published += delete_ids(connection, &held).await?;
    // Under the lease nobody else removes rows. Were it otherwise, this transaction
    // would have copied what another has copied.
    match archived {
        Some(archived) if archived != marked.published => Err(sqlx::Error::Protocol(format!(
            "{archived} rows were copied to the archive, but {} were removed from the outbox",
            marked.published
        ))),
        _ => Ok(Some(marked)),
    }
}

/// Moves failed rows and those behind them out of the way of every range delete.
async fn block(
    connection: &mut MySqlConnection,
    outcomes: &[&Outcome<'_>],
    max_attempts: u16,
) -> Result<u64, sqlx::Error> {
    let mut waiting = Places::with_capacity(0);
    let mut moving = Places::with_capacity(0);
    for (row, fate) in fates(outcomes) {
        match fate {
            Fate::Failed { attempts, error } => {
                blocked::fail(connection, row, (*attempts, max_attempts), error).await?;
            }
            Fate::Waiting => waiting.push(row.bucket, row.id),
            Fate::Published { .. } | Fate::Left => continue,
        }
        moving.push(row.bucket, row.id);
    }
    if waiting.count() > 0 {
        blocked::wait(connection, &waiting, max_attempts).await?;
    }
    if moving.count() == 0 {
        return Ok(0);
    }
    blocked::remove_moved(connection, &moving).await
}

fn fates<'b>(outcomes: &[&Outcome<'b>]) -> impl Iterator<Item = (&'b PendingRow, &'b Fate)> {
    outcomes
        .iter()
        .flat_map(|outcome| outcome.rows.iter().zip(outcome.fates))
}

fn published(outcomes: &[&Outcome<'_>]) -> Places {
    let mut places = Places::with_capacity(outcomes.iter().map(|outcome| outcome.rows.len()).sum());
    for (row, fate) in fates(outcomes) {
        if let Fate::Published { partition, offset } = fate {
            places.push_published(row.bucket, row.id, *partition, *offset);
        }
    }
    places
}

/// Copies published rows to the archive: those that are still there.
async fn archive(
    connection: &mut MySqlConnection,
    outcomes: &[&Outcome<'_>],
    process: ProcessNumber,
) -> Result<u64, sqlx::Error> {
    let places = published(outcomes);
    if places.count() == 0 {
        return Ok(0);
    }
    let copied = sqlx::query!(
        "INSERT INTO outbox_archive (published_day, bucket, id, event_id, aggregate_type, aggregate_id, event_type,
             sequence, topic, payload, raw_key, raw_headers, traceparent, created_at,
             kafka_partition, kafka_offset, published_at, published_by, after_id)
         SELECT UTC_DATE(), o.bucket, o.id, o.event_id, o.aggregate_type, o.aggregate_id, o.event_type,
             o.sequence, o.topic, o.payload, o.raw_key, o.raw_headers, o.traceparent, o.created_at,
             place.kafka_partition, place.kafka_offset, UTC_TIMESTAMP(6), ?, o.after_id
         FROM JSON_TABLE(?, '$[*]' COLUMNS (bucket SMALLINT UNSIGNED PATH '$[0]', id BIGINT UNSIGNED PATH '$[1]',
             kafka_partition INT PATH '$[2]', kafka_offset BIGINT PATH '$[3]')) AS place
         STRAIGHT_JOIN outbox AS o ON o.bucket = place.bucket AND o.id = place.id",
        process.full(),
        places.as_str()
    )
    .execute(connection)
    .await?;
    Ok(copied.rows_affected())
}

/// `None`: the range held other rows than those that were read.
async fn delete_range(
    connection: &mut MySqlConnection,
    outcome: &Outcome<'_>,
) -> Result<Option<u64>, sqlx::Error> {
    let all_published = outcome
        .fates
        .iter()
        .all(|fate| matches!(fate, Fate::Published { .. }));
    let (Some(first), Some(last), true) = (outcome.rows.first(), outcome.rows.last(), all_published) else {
        return Ok(None);
    };
    // Two ranges: a scan also locks the row behind its range, and would wait there for
    // whoever has just inserted it. So the range ends before the last row, and the last
    // row is met by its key.
    let deleted = sqlx::query!(
        "DELETE FROM outbox WHERE bucket = ? AND (id BETWEEN ? AND ? OR id = ?)",
        outcome.bucket,
        first.id,
        last.id.saturating_sub(1),
        last.id
    )
    .execute(connection)
    .await?
    .rows_affected();
    let read = u64::try_from(outcome.rows.len()).unwrap_or_default();
    Ok((deleted == read).then_some(deleted))
}

async fn delete_ids(connection: &mut MySqlConnection, outcomes: &[&Outcome<'_>]) -> Result<u64, sqlx::Error> {
    let places = published(outcomes);
    if places.count() == 0 {
        return Ok(0);
    }
    let deleted = sqlx::query!(
        "DELETE o FROM JSON_TABLE(?, '$[*]' COLUMNS (bucket SMALLINT UNSIGNED PATH '$[0]',
                                                     id BIGINT UNSIGNED PATH '$[1]')) AS place
         STRAIGHT_JOIN outbox AS o ON o.bucket = place.bucket AND o.id = place.id",
        places.as_str()
    )
    .execute(connection)
    .await?;
    Ok(deleted.rows_affected())
}
