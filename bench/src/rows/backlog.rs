//! How long the coupons lag behind the claims.

use std::fmt;
use std::time::{Duration, Instant};

use anyhow::Context;

use crate::stack::installation::Installation;

/// How often the count is read: the campaign's own count, one row.
const LOOK_EVERY: Duration = Duration::from_millis(10);
/// Longest time until every promise is kept.
const TIMEOUT: Duration = Duration::from_mins(3);

/// How a run ended.
#[derive(Clone, Copy, Debug)]
pub struct Backlog {
    /// Claims without a coupon when the last claim was answered.
    pub at_end: u64,
    /// From the last answer until every claim had its coupon.
    pub gone_after: Duration,
}

impl fmt::Display for Backlog {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} coupons were missing at the last claim, none {:.2} s later",
            self.at_end,
            self.gone_after.as_secs_f64()
        )
    }
}

/// Waits until every admitted claim has its coupon.
pub async fn until_issued(
    installation: &Installation,
    admitted: u64,
    since: Instant,
) -> anyhow::Result<Backlog> {
    let at_end = admitted.saturating_sub(installation.issued().await?);
    let waiting = async {
        while installation.issued().await? < admitted {
            tokio::time::sleep(LOOK_EVERY).await;
        }
        anyhow::Ok(())
    };
    tokio::time::timeout(TIMEOUT, waiting)
        .await
        .context("some claims have no coupon")??;
    Ok(Backlog {
        at_end,
        gone_after: since.elapsed(),
    })
}
