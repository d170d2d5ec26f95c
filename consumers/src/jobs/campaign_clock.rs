//! Opens campaigns whose time has come and ends those whose time is up, by MySQL's
//! clock.

use headgate_domain::campaigns::store;

use super::{Error, Parts, Round};

/// Campaigns of one round.
const ROUND_MAX: u32 = 100;

pub(super) async fn round(parts: &Parts) -> Result<Round, Error> {
    let now = parts.clock.now();
    let change = parts.change(now);
    let mut transaction = parts.pool.begin().await?;
    let moved = async {
        let opened = store::open_due(&mut transaction, change, ROUND_MAX).await?;
        let ended = store::end_due(&mut transaction, change, ROUND_MAX).await?;
        Ok::<_, Error>((opened, ended))
    }
    .await;
    let (opened, ended) = match moved {
        Ok(moved) => moved,
        Err(error) => {
            transaction.rollback().await?;
            return Err(error);
        }
    };
    transaction.commit().await?;
    for campaign in &opened {
        tracing::info!(campaign_id = %campaign.campaign_id, "campaign opened");
    }
    for campaign in &ended {
        tracing::info!(campaign_id = %campaign.campaign_id, "campaign ended");
    }
    if !opened.is_empty() || !ended.is_empty() {
        parts.waker.wake();
    }
    let round_max = usize::try_from(ROUND_MAX).unwrap_or(usize::MAX);
    if opened.len().max(ended.len()) >= round_max {
        return Ok(Round::More);
    }
    Ok(Round::Done)
}
