//! The last events of claims, as their rows say: what the reconciliation of the pipe asks.

use headgate_schemas::ids::ClaimId;
use sqlx::MySqlExecutor;

use crate::LastEvent;

/// The last events of the claims after `after`, in order of their ids. Of a claim that has its
/// coupon the coupon says it.
pub async fn of_claims(
    on: impl MySqlExecutor<'_>,
    after: ClaimId,
    limit: u32,
) -> Result<Vec<LastEvent<ClaimId>>, sqlx::Error> {
    let rows = sqlx::query!(
        r#"SELECT c.claim_id AS "claim_id: ClaimId", c.event_sequence, c.last_outbox_id,
               EXISTS (SELECT 1 FROM coupons k WHERE k.coupon_id = c.claim_id) AS "is_issued: bool"
           FROM claims c FORCE INDEX (claims_id) WHERE c.claim_id > ? ORDER BY c.claim_id LIMIT ?"#,
        after,
        limit
    )
    .fetch_all(on)
    .await?;
    Ok(rows
        .into_iter()
        .map(|row| {
            let last = LastEvent::of(
                row.claim_id,
                &row.claim_id,
                row.event_sequence,
                row.last_outbox_id,
            );
            LastEvent {
                last: last.last.filter(|_| !row.is_issued),
                ..last
            }
        })
        .collect())
}

/// The same of claims that were released.
pub async fn of_released(
    on: impl MySqlExecutor<'_>,
    after: ClaimId,
    limit: u32,
) -> Result<Vec<LastEvent<ClaimId>>, sqlx::Error> {
    let rows = sqlx::query!(
        r#"SELECT claim_id AS "claim_id: ClaimId", event_sequence, last_outbox_id FROM released_claims
           WHERE claim_id > ? ORDER BY claim_id LIMIT ?"#,
        after,
        limit
    )
    .fetch_all(on)
    .await?;
    Ok(rows
        .into_iter()
        .map(|row| {
            LastEvent::of(
                row.claim_id,
                &row.claim_id,
                row.event_sequence,
                row.last_outbox_id,
            )
        })
        .collect())
}
