//! Expires coupons whose time is up.

use headgate_domain::coupons::store;

use super::{Error, Parts, Round};

/// Coupons of one transaction.
const ROUND_MAX: u32 = 500;

pub(super) async fn round(parts: &Parts) -> Result<Round, Error> {
    let change = parts.change(parts.clock.now());
    let mut transaction = parts.pool.begin().await?;
    let expired = match store::expire_due(&mut transaction, change, ROUND_MAX).await {
        Ok(expired) => expired,
        Err(error) => {
            transaction.rollback().await?;
            return Err(error.into());
        }
    };
    transaction.commit().await?;
    if expired == 0 {
        return Ok(Round::Done);
    }
    metrics::counter!("headgate_coupons_expired_total").increment(expired as u64);
    tracing::info!(coupons = expired, "coupons expired");
    parts.waker.wake();
    let is_full = expired >= usize::try_from(ROUND_MAX).unwrap_or(usize::MAX);
    Ok(if is_full { Round::More } else { Round::Done })
}
