//! Takes points out of their wallets whose time is up.

use chrono::{DateTime, Utc};
use headgate_domain::points::{ExpiredPoints, store};
use headgate_runtime::crash_point;

use super::{Error, Parts, Round};

/// Lots of one transaction. Their wallets are locked until it is durable: short enough that
/// their users do not notice.
const LOTS_AT_ONCE: u32 = 500;
/// Transactions of one round. Each begins where the one before did: until InnoDB has purged what was
/// taken out, a look from the beginning passes over all of it.
const TRANSACTIONS_MAX: u32 = 50;

pub(super) async fn round(parts: &Parts) -> Result<Round, Error> {
    let mut from = DateTime::UNIX_EPOCH;
    let mut all = ExpiredPoints::default();
    let mut left = Round::More;
    for _ in 0..TRANSACTIONS_MAX {
        let expired = expire(parts, from).await?;
        all.wallets += expired.wallets;
        all.lots += expired.lots;
        all.points += expired.points;
        match expired.oldest {
            Some(oldest) if expired.wallets > 0 => from = oldest,
            _ => {
                left = Round::Done;
                break;
            }
        }
    }
    if all.wallets > 0 {
        tracing::info!(
            wallets = all.wallets,
            lots = all.lots,
            points = all.points,
            "points expired"
        );
    }
    Ok(left)
}

/// One transaction's.
async fn expire(parts: &Parts, from: DateTime<Utc>) -> Result<ExpiredPoints, Error> {
    let change = parts.change(parts.clock.now());
    let mut transaction = parts.pool.begin().await?;
    let expired = match store::expire_due(&mut transaction, change, from, LOTS_AT_ONCE).await {
        Ok(expired) => expired,
        Err(error) => {
            transaction.rollback().await?;
            return Err(error.into());
        }
    };
    crash_point!("consumers.points-expired");
    transaction.commit().await?;
    if expired.wallets > 0 {
        metrics::counter!("headgate_points_expired_total").increment(expired.points);
        metrics::counter!("headgate_point_lots_expired_total").increment(expired.lots as u64);
        parts.waker.wake();
    }
    Ok(expired)
}
