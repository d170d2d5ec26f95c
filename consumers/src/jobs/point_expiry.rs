//! Takes points out of their wallets whose time is up.

use headgate_domain::points::store;
use headgate_runtime::crash_point;

use super::{Error, Parts, Round};

/// Lots of one transaction. Their wallets are locked until it is durable: short enough that
/// their users do not notice.
const ROUND_LOTS: u32 = 500;

pub(super) async fn round(parts: &Parts) -> Result<Round, Error> {
    let change = parts.change(parts.clock.now());
    let mut transaction = parts.pool.begin().await?;
    let expired = match store::expire_due(&mut transaction, change, ROUND_LOTS).await {
        Ok(expired) => expired,
        Err(error) => {
            transaction.rollback().await?;
            return Err(error.into());
        }
    };
    crash_point!("consumers.points-expired");
    transaction.commit().await?;
    if expired.wallets == 0 {
        return Ok(Round::Done);
    }
    metrics::counter!("headgate_points_expired_total").increment(expired.points);
    metrics::counter!("headgate_point_lots_expired_total").increment(expired.lots as u64);
    tracing::info!(
        wallets = expired.wallets,
        lots = expired.lots,
        points = expired.points,
        "points expired"
    );
    parts.waker.wake();
    Ok(Round::More)
}
