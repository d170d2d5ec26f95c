//! Releasing an admitted claim: the compensation of an admission that cannot become a
//! coupon. The claim's row moves to the history, its event says why, and the ticket
//! is free for the next asker.

use chrono::{DateTime, Utc};
use headgate_outbox::write::{EventWriter, Predecessor};
use headgate_schemas::event::coupons::ClaimReleased;
use headgate_schemas::ids::{CampaignId, ClaimId};
use headgate_schemas::names::UserId;
use headgate_schemas::quantities::Ticket;
use sqlx::{MySql, Transaction};

use super::store;
use crate::Error;

/// What became free.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReleasedClaim {
    /// The claim.
    pub claim_id: ClaimId,
    /// Its campaign's row.
    pub campaign_no: u32,
    /// Its campaign.
    pub campaign_id: CampaignId,
    /// The ticket that is free again once the transaction has committed. Tell
    /// `headgate_admission::release`; should that fail, the audit finds it.
    pub ticket: Ticket,
    /// Whose it was.
    pub user_id: UserId,
}

/// Releases an admitted claim with its event. `None`: there is no such claim, or its
/// coupon exists already and nothing may be released.
pub async fn release(
    transaction: &mut Transaction<'_, MySql>,
    writer: &EventWriter,
    claim_id: ClaimId,
    reason: &str,
    actor: &str,
    now: DateTime<Utc>,
) -> Result<Option<ReleasedClaim>, Error> {
    let Some(claim) = store::lock_for_release(transaction, claim_id).await? else {
        return Ok(None);
    };
    if claim.issued {
        return Ok(None);
    }
    let event = ClaimReleased {
        claim_id,
        campaign_id: claim.campaign_id,
        partner_id: claim.partner_id,
        user_id: claim.user_id.as_str().to_owned(),
        ticket: claim.ticket.get().cast_signed(),
        reason: reason.to_owned(),
        released_at: now.into(),
    };
    let row = writer.row(&event, claim.predecessor, now, None)?;
    let last = Predecessor {
        sequence: row.sequence,
        outbox_id: row.id,
    };
    store::move_to_released(transaction, claim_id, last, reason, actor, now).await?;
    EventWriter::write(transaction, &[row]).await?;
    Ok(Some(ReleasedClaim {
        claim_id,
        campaign_no: claim.campaign_no,
        campaign_id: claim.campaign_id,
        ticket: claim.ticket,
        user_id: claim.user_id,
    }))
}
