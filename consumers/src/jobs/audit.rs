//! Looks for tickets that Redis handed out and that are in nobody's hands: an act that
//! Redis was not told of, a state that lost a write. They go to the next asker.

use headgate_domain::campaigns::store;

use super::sweeper::SETTLED_AFTER;
use super::{Error, Parts, Round};

pub(super) async fn round(parts: &Parts) -> Result<Round, Error> {
    let now = parts.clock.now();
    let mut failed = None;
    for (campaign_no, campaign_id) in store::admitting(&parts.pool, now, now - SETTLED_AFTER).await? {
        // What is wrong with one campaign's state must not hold up the others'.
        if let Err(error) = parts.admission.audit(&parts.pool, campaign_no, campaign_id).await {
            failed = Some(Error::Admission(campaign_id, error));
        }
    }
    failed.map_or(Ok(Round::Done), Err)
}
