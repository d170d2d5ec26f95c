//! Settles reservations in Redis whose commit was never reported: MySQL says what
//! became of them.

use chrono::TimeDelta;
use headgate_domain::campaigns::store;

use super::{Error, Parts, Round};

/// How long after its end a campaign may have reservations to settle.
pub(super) const SETTLED_AFTER: TimeDelta = TimeDelta::hours(1);

pub(super) async fn round(parts: &Parts) -> Result<Round, Error> {
    let now = parts.clock.now();
    let (mut left, mut failed) = (Round::Done, None);
    for (campaign_no, campaign_id) in store::admitting(&parts.pool, now, now - SETTLED_AFTER).await? {
        let swept = match parts.admission.sweep(&parts.pool, campaign_no, campaign_id).await {
            Ok(swept) => swept,
            // What is wrong with one campaign's state must not hold up the others'.
            Err(error) => {
                failed = Some(Error::Admission(campaign_id, error));
                continue;
            }
        };
        if swept.confirmed + swept.released > 0 {
            tracing::info!(
                %campaign_id, confirmed = swept.confirmed, released = swept.released, "reservations settled"
            );
        }
        if swept.more {
            left = Round::More;
        }
    }
    failed.map_or(Ok(left), Err)
}
