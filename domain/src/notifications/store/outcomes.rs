//! What became of an attempt. Whoever sent it may have lost its lease meanwhile; then somebody else
//! sends it again, and the one outcome that counts is that one's.

use chrono::{DateTime, Utc};
use sqlx::{MySql, Transaction};

use super::Taken;
use crate::Error;

/// Longest text of an error that is kept, in characters.
const ERROR_CHARS_MAX: usize = 512;

/// Writes down that it was delivered, and closes the circuit of its endpoint. `false`: it is no
/// longer ours.
pub async fn delivered(
    transaction: &mut Transaction<'_, MySql>,
    taken: &Taken,
    now: DateTime<Utc>,
) -> Result<bool, Error> {
    let settled = sqlx::query!(
        "UPDATE deliveries SET state = 'delivered', settled_at = ?, lease = NULL, body = NULL, last_error = NULL
         WHERE delivery_no = ? AND lease = ? AND state = 'pending'",
        now,
        taken.delivery_no,
        taken.lease
    )
    .execute(&mut **transaction)
    .await?;
    if settled.rows_affected() == 0 {
        return Ok(false);
    }
    // As a rule there is nothing to close, and nobody waits for the row.
    sqlx::query!(
        "UPDATE subscriptions SET failures = 0, rests_until = NULL
         WHERE subscription_no = ? AND (failures > 0 OR rests_until IS NOT NULL)",
        taken.subscription_no
    )
    .execute(&mut **transaction)
    .await?;
    Ok(true)
}

/// An attempt that failed.
#[derive(Clone, Debug)]
pub struct Failed<'f> {
    /// Why.
    pub error: &'f str,
    /// When it is tried again; `None`: never, it is dead.
    pub again_at: Option<DateTime<Utc>>,
    /// Until when the endpoint asked to be left alone.
    pub asked_until: Option<DateTime<Utc>>,
    /// The endpoint wants nothing any more: its subscription is disabled.
    pub is_gone: bool,
    /// Failures in a row after which the endpoint is left alone.
    pub circuit_failures: u32,
    /// Until when, if this is one too many.
    pub rests_until: DateTime<Utc>,
}

/// Writes down that an attempt failed. `false`: it is no longer ours.
pub async fn failed(
    transaction: &mut Transaction<'_, MySql>,
    taken: &Taken,
    failed: &Failed<'_>,
    now: DateTime<Utc>,
) -> Result<bool, Error> {
    let error: String = failed.error.chars().take(ERROR_CHARS_MAX).collect();
    let settled_at = failed.again_at.is_none().then_some(now);
    let noted = sqlx::query!(
        "UPDATE deliveries SET state = IF(? IS NULL, 'pending', 'dead'), settled_at = ?, lease = NULL,
             next_attempt_at = COALESCE(?, next_attempt_at), last_error = ?
         WHERE delivery_no = ? AND lease = ? AND state = 'pending'",
        settled_at,
        settled_at,
        failed.again_at,
        error,
        taken.delivery_no,
        taken.lease
    )
    .execute(&mut **transaction)
    .await?;
    if noted.rows_affected() == 0 {
        return Ok(false);
    }
    // MySQL assigns from left to right: the new number of failures is compared.
    sqlx::query!(
        "UPDATE subscriptions SET failures = failures + 1,
             rests_until = COALESCE(?, IF(failures >= ?, ?, rests_until)), last_failure = ?, last_failure_at = ?,
             is_gone = is_gone OR ?, enabled = enabled AND NOT ?
         WHERE subscription_no = ?",
        failed.asked_until,
        failed.circuit_failures,
        failed.rests_until,
        error,
        now,
        failed.is_gone,
        failed.is_gone,
        taken.subscription_no
    )
    .execute(&mut **transaction)
    .await?;
    Ok(true)
}
