//! Gives up deliveries that wait for too long, and removes those that were settled long ago or
//! whose subscription is gone.

use chrono::TimeDelta;
use headgate_domain::notifications::store;

use super::{Error, Parts, Round};

/// Deliveries of one transaction.
const DELIVERIES_MAX: u32 = 1_000;
/// Such transactions of one kind in one round.
const BATCHES_MAX: u32 = 100;

pub(super) async fn tidy(parts: &Parts) -> Result<Round, Error> {
    let (pool, now, keep) = (&parts.pool, parts.clock.now(), parts.retention);
    let before = |days: u32| now - TimeDelta::days(i64::from(days));
    let mut left = Round::Done;
    for _ in 0..BATCHES_MAX {
        let waits_since = before(keep.pending_deliveries_days);
        let given_up = store::give_up(pool, waits_since, now, DELIVERIES_MAX).await?;
        if given_up > 0 {
            metrics::counter!("headgate_deliveries_given_up_total").increment(given_up);
            tracing::warn!(
                deliveries = given_up,
                "deliveries were given up: they waited for too long"
            );
        }
        let removed = [
            store::remove_settled(pool, "delivered", before(keep.deliveries_days), DELIVERIES_MAX).await?,
            store::remove_settled(pool, "dead", before(keep.dead_deliveries_days), DELIVERIES_MAX).await?,
            store::remove_orphans(pool, DELIVERIES_MAX).await?,
        ];
        let is_full = |rows: &u64| *rows >= u64::from(DELIVERIES_MAX);
        left = if is_full(&given_up) || removed.iter().any(is_full) {
            Round::More
        } else {
            Round::Done
        };
        if left == Round::Done {
            break;
        }
    }
    Ok(left)
}
