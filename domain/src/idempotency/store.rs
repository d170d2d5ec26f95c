//! The SQL of idempotency keys. Times are MySQL's: a lease is compared by one clock.
//! The row of a key is the first that a transaction locks.

use std::time::Duration;

use sqlx::{MySql, MySqlExecutor, MySqlPool, Transaction};

use super::{ANSWER_BYTES_MAX, Answer, KEPT, KeyedRequest, Refusal, Reservation, ScopedKey, Standing};
use crate::Error;

/// How often a reservation that lost its race reads who won.
const READS_MAX: u32 = 3;

/// A row, as MySQL gives it.
struct Row {
    fingerprint: Vec<u8>,
    is_abandoned: bool,
    is_expired: bool,
    status: Option<u16>,
    content_type: Option<String>,
    location: Option<String>,
    body: Option<Vec<u8>>,
}

impl Row {
    fn is_of(&self, request: &KeyedRequest) -> bool {
        self.fingerprint == request.fingerprint.0
    }

    /// Whether whoever asks may have the key.
    fn is_free_for(&self, request: &KeyedRequest) -> bool {
        self.is_expired || (self.status.is_none() && self.is_abandoned && self.is_of(request))
    }

    /// The answer, if there is one.
    fn into_answer(self) -> Option<Answer> {
        Some(Answer {
            status: self.status?,
            content_type: self.content_type?,
            location: self.location,
            body: self.body?,
        })
    }
}

/// Reserves the key for `lease`, unless somebody has answered the request or is about
/// to. Commits by itself. A reservation that nobody answers is free again after its lease.
pub async fn reserve(pool: &MySqlPool, request: &KeyedRequest, lease: Duration) -> Result<Standing, Error> {
    let ours = Reservation {
        key: request.key,
        owner: rand::random(),
    };
    for _ in 0..READS_MAX {
        // Read first: an insert would wait for the transaction that is about to answer.
        match find(pool, request.key).await? {
            None => {
                if insert(pool, request, &ours, lease).await? {
                    return Ok(Standing::Ours(ours));
                }
            }
            Some(row) if row.is_free_for(request) => {
                if take_over(pool, request, &ours, lease).await? {
                    return Ok(Standing::Ours(ours));
                }
            }
            Some(row) if !row.is_of(request) => return Ok(Standing::Reused),
            Some(row) => return Ok(row.into_answer().map_or(Standing::InProgress, Standing::Answered)),
        }
    }
    Ok(Standing::InProgress)
}

/// The answer that this very request was given, if it was.
pub async fn answered(on: impl MySqlExecutor<'_>, request: &KeyedRequest) -> Result<Option<Answer>, Error> {
    let row = find(on, request.key).await?;
    let row = row.filter(|row| !row.is_expired && row.is_of(request));
    Ok(row.and_then(Row::into_answer))
}

/// Locks the key for the rest of the transaction, if it is still ours and unanswered:
/// nobody takes it over meanwhile. Comes before everything else in the transaction.
pub async fn hold(transaction: &mut Transaction<'_, MySql>, reservation: &Reservation) -> Result<(), Error> {
    let held = sqlx::query_scalar!(
        r#"SELECT 1 AS "held: i64" FROM idempotency_keys
           WHERE scoped_key = ? AND owner = ? AND state = 'in_progress' FOR UPDATE"#,
        reservation.key.0.as_slice(),
        reservation.owner.as_slice()
    )
    .fetch_optional(&mut **transaction)
    .await?;
    held.map(drop).ok_or_else(|| Refusal::TakenOver.into())
}

/// Keeps the answer, if the key is still ours and unanswered.
pub async fn answer(
    on: impl MySqlExecutor<'_>,
    reservation: &Reservation,
    answer: &Answer,
) -> Result<(), Error> {
    let bytes = answer.body.len();
    if bytes > ANSWER_BYTES_MAX {
        return Err(Refusal::AnswerTooLarge { bytes }.into());
    }
    let answered = sqlx::query!(
        "UPDATE idempotency_keys
         SET state = 'answered', status = ?, content_type = ?, location = ?, body = ?,
             expires_at = UTC_TIMESTAMP(6) + INTERVAL ? SECOND
         WHERE scoped_key = ? AND owner = ? AND state = 'in_progress'",
        answer.status,
        answer.content_type,
        answer.location,
        answer.body,
        KEPT.as_secs(),
        reservation.key.0.as_slice(),
        reservation.owner.as_slice()
    )
    .execute(on)
    .await?;
    // Matched rows are counted.
    if answered.rows_affected() == 1 {
        Ok(())
    } else {
        Err(Refusal::TakenOver.into())
    }
}

/// Gives a key back that was not answered, so that the next request need not wait for
/// the end of the lease. A key that is answered, or no longer ours, stays as it is.
pub async fn give_back(on: impl MySqlExecutor<'_>, reservation: &Reservation) -> Result<(), Error> {
    sqlx::query!(
        "DELETE FROM idempotency_keys WHERE scoped_key = ? AND owner = ? AND state = 'in_progress'",
        reservation.key.0.as_slice(),
        reservation.owner.as_slice()
    )
    .execute(on)
    .await?;
    Ok(())
}

/// Removes up to `limit` keys whose time is up, the oldest first, and says how many:
/// fewer than `limit` means that none is left.
pub async fn remove_expired(on: impl MySqlExecutor<'_>, limit: u32) -> Result<u64, Error> {
    let removed = sqlx::query!(
        "DELETE FROM idempotency_keys WHERE expires_at <= UTC_TIMESTAMP(6) ORDER BY expires_at LIMIT ?",
        limit
    )
    .execute(on)
    .await?;
    Ok(removed.rows_affected())
}

async fn find(on: impl MySqlExecutor<'_>, key: ScopedKey) -> Result<Option<Row>, Error> {
    let row = sqlx::query_as!(
        Row,
        r#"SELECT fingerprint, lease_until <= UTC_TIMESTAMP(6) AS "is_abandoned: bool",
               expires_at <= UTC_TIMESTAMP(6) AS "is_expired: bool", status, content_type, location, body
           FROM idempotency_keys WHERE scoped_key = ?"#,
        key.0.as_slice()
    )
    .fetch_optional(on)
    .await?;
    Ok(row)
}

/// False: somebody else was first.
async fn insert(
    pool: &MySqlPool,
    request: &KeyedRequest,
    ours: &Reservation,
    lease: Duration,
) -> Result<bool, Error> {
    let inserted = sqlx::query!(
        "INSERT IGNORE INTO idempotency_keys (scoped_key, fingerprint, state, owner, lease_until, expires_at)
         VALUES (?, ?, 'in_progress', ?, UTC_TIMESTAMP(6) + INTERVAL ? MICROSECOND,
             UTC_TIMESTAMP(6) + INTERVAL ? SECOND)",
        request.key.0.as_slice(),
        request.fingerprint.0.as_slice(),
        ours.owner.as_slice(),
        micros(lease),
        KEPT.as_secs()
    )
    .execute(pool)
    .await?;
    Ok(inserted.rows_affected() == 1)
}

/// False: somebody else was first, or the owner lives and has answered.
async fn take_over(
    pool: &MySqlPool,
    request: &KeyedRequest,
    ours: &Reservation,
    lease: Duration,
) -> Result<bool, Error> {
    let taken = sqlx::query!(
        "UPDATE idempotency_keys
         SET fingerprint = ?, state = 'in_progress', owner = ?,
             lease_until = UTC_TIMESTAMP(6) + INTERVAL ? MICROSECOND,
             expires_at = UTC_TIMESTAMP(6) + INTERVAL ? SECOND,
             status = NULL, content_type = NULL, location = NULL, body = NULL
         WHERE scoped_key = ? AND (expires_at <= UTC_TIMESTAMP(6)
             OR (state = 'in_progress' AND lease_until <= UTC_TIMESTAMP(6) AND fingerprint = ?))",
        request.fingerprint.0.as_slice(),
        ours.owner.as_slice(),
        micros(lease),
        KEPT.as_secs(),
        request.key.0.as_slice(),
        request.fingerprint.0.as_slice()
    )
    .execute(pool)
    .await?;
    Ok(taken.rows_affected() == 1)
}

fn micros(duration: Duration) -> i64 {
    i64::try_from(duration.as_micros()).unwrap_or(i64::MAX)
}
