//! How much waits, and what is not kept any longer.

use chrono::{DateTime, Utc};
use sqlx::MySqlPool;

use super::COUNTED_MAX;
use crate::Error;

/// How deliveries stand.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Backlog {
    /// Those that wait; counting ends at [`COUNTED_MAX`].
    pub pending: u64,
    /// Since when the oldest of them waits.
    pub oldest: Option<DateTime<Utc>>,
    /// Those that were given up; counting ends at [`COUNTED_MAX`].
    pub dead: u64,
}

/// How all deliveries stand.
pub async fn backlog(pool: &MySqlPool) -> Result<Backlog, Error> {
    let row = sqlx::query!(
        r#"SELECT (SELECT COUNT(*) FROM (SELECT 1 AS one FROM deliveries WHERE state = 'pending' LIMIT ?) AS p)
                   AS "pending!: i64",
               (SELECT COUNT(*) FROM (SELECT 1 AS one FROM deliveries WHERE state = 'dead' LIMIT ?) AS d)
                   AS "dead!: i64",
               (SELECT MIN(waits_since) FROM deliveries WHERE state = 'pending') AS "oldest: DateTime<Utc>""#,
        COUNTED_MAX,
        COUNTED_MAX
    )
    .fetch_one(pool)
    .await?;
    Ok(Backlog {
        pending: row.pending.unsigned_abs(),
        oldest: row.oldest,
        dead: row.dead.unsigned_abs(),
    })
}

/// How the deliveries of a subscription stand.
pub async fn of_subscription(pool: &MySqlPool, subscription_no: u32) -> Result<Backlog, Error> {
    let row = sqlx::query!(
        r#"SELECT COUNT(IF(state = 'pending', 1, NULL)) AS "pending!: i64", COUNT(IF(state = 'dead', 1, NULL)) AS "dead!: i64",
               MIN(IF(state = 'pending', waits_since, NULL)) AS "oldest: DateTime<Utc>"
           FROM (
               (SELECT state, waits_since FROM deliveries WHERE subscription_no = ? AND state = 'pending' LIMIT ?)
               UNION ALL
               (SELECT state, waits_since FROM deliveries WHERE subscription_no = ? AND state = 'dead' LIMIT ?)) AS d"#,
        subscription_no,
        COUNTED_MAX,
        subscription_no,
        COUNTED_MAX
    )
    .fetch_one(pool)
    .await?;
    Ok(Backlog {
        pending: row.pending.unsigned_abs(),
        oldest: row.oldest,
        dead: row.dead.unsigned_abs(),
    })
}

/// How many endpoints are left alone at `now`, or about to be asked once.
pub async fn waiting(pool: &MySqlPool) -> Result<u64, Error> {
    let open = sqlx::query_scalar!(
        "SELECT COUNT(*) FROM subscriptions WHERE enabled = 1 AND rests_until IS NOT NULL"
    )
    .fetch_one(pool)
    .await?;
    Ok(open.unsigned_abs())
}

/// Gives up what waits since before `before`, up to `most`; nothing that is being sent. Returns how
/// many.
pub async fn give_up(
    pool: &MySqlPool,
    before: DateTime<Utc>,
    now: DateTime<Utc>,
    most: u32,
) -> Result<u64, Error> {
    let given_up = sqlx::query!(
        "UPDATE deliveries SET state = 'dead', settled_at = ?, lease = NULL,
             last_error = COALESCE(last_error, 'it could not be sent in time')
         WHERE state = 'pending' AND waits_since < ? AND (lease IS NULL OR next_attempt_at <= ?)
         ORDER BY waits_since LIMIT ?",
        now,
        before,
        now,
        most
    )
    .execute(pool)
    .await?;
    Ok(given_up.rows_affected())
}

/// Removes what was settled and waits since before `before`, up to `most`: `delivered`, or `dead`.
/// Returns how many.
pub async fn remove_settled(
    pool: &MySqlPool,
    state: &str,
    before: DateTime<Utc>,
    most: u32,
) -> Result<u64, Error> {
    let removed = sqlx::query!(
        "DELETE FROM deliveries WHERE state = ? AND state <> 'pending' AND waits_since < ?
         ORDER BY waits_since LIMIT ?",
        state,
        before,
        most
    )
    .execute(pool)
    .await?;
    Ok(removed.rows_affected())
}

/// Removes deliveries of a subscription that is gone, up to `most`. Returns how many.
pub async fn remove_orphans(pool: &MySqlPool, most: u32) -> Result<u64, Error> {
    let orphaned = sqlx::query_scalar!(
        "SELECT d.subscription_no FROM (SELECT DISTINCT subscription_no FROM deliveries) AS d
             LEFT JOIN subscriptions s ON s.subscription_no = d.subscription_no
         WHERE s.subscription_no IS NULL LIMIT 1"
    )
    .fetch_optional(pool)
    .await?;
    let Some(subscription_no) = orphaned else {
        return Ok(0);
    };
    let removed = sqlx::query!(
        "DELETE FROM deliveries WHERE subscription_no = ? LIMIT ?",
        subscription_no,
        most
    )
    .execute(pool)
    .await?;
    Ok(removed.rows_affected())
}
