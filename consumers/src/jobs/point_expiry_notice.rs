//! Tells that points will expire soon, while they can still be spent.

use chrono::TimeDelta;
use headgate_domain::points::store;

use super::{Error, Parts, Round};

/// Lots of one transaction: their wallets are locked until it is durable, as in the expiry of points.
const ROUND_LOTS: u32 = 500;

pub(super) async fn round(parts: &Parts) -> Result<Round, Error> {
    let change = parts.change(parts.clock.now());
    let until = change.now + TimeDelta::from_std(parts.settings.notice_before).unwrap_or_default();
    let mut transaction = parts.pool.begin().await?;
    let noticed = match store::notice_due(&mut transaction, change, until, ROUND_LOTS).await {
        Ok(noticed) => noticed,
        Err(error) => {
            transaction.rollback().await?;
            return Err(error.into());
        }
    };
    transaction.commit().await?;
    if noticed.wallets == 0 {
        return Ok(Round::Done);
    }
    metrics::counter!("headgate_point_lots_noticed_total").increment(noticed.lots as u64);
    tracing::info!(
        wallets = noticed.wallets,
        lots = noticed.lots,
        "points expire soon"
    );
    parts.waker.wake();
    Ok(Round::More)
}
