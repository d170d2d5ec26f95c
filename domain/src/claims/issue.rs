//! What issuing asks of claims, and what it tells them when it cannot go on.

use std::collections::{HashMap, HashSet};

use headgate_outbox::write::{EventWriter, Predecessor};
use headgate_schemas::event::coupons::ClaimFailed;
use headgate_schemas::ids::ClaimId;
use headgate_schemas::names::UserId;
use headgate_schemas::quantities::Ticket;
use sqlx::{MySql, MySqlConnection, Transaction};

use super::store;
use crate::{Change, Error, coupons};

/// An admitted claim, locked FOR SHARE: it cannot be released before the transaction
/// ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Issuable {
    /// Its campaign's row.
    pub campaign_no: u32,
    /// Its ticket.
    pub ticket: Ticket,
    /// Whose it is.
    pub user_id: UserId,
    /// Its coupon exists already.
    pub is_issued: bool,
    /// The last event of the claim.
    pub last_event: Predecessor,
}

/// Locks those of `claims` that are admitted and not released.
pub async fn lock(
    transaction: &mut Transaction<'_, MySql>,
    claims: &[ClaimId],
) -> Result<HashMap<ClaimId, Issuable>, Error> {
    Ok(store::lock_for_issue(transaction, claims).await?)
}

/// Those of `claims` that were released.
pub async fn released_among(
    transaction: &mut Transaction<'_, MySql>,
    claims: &[ClaimId],
) -> Result<HashSet<ClaimId>, Error> {
    Ok(store::released_among(transaction, claims).await?)
}

/// Those of `claims` that have their coupon. Locks nothing.
pub async fn issued_among(
    connection: &mut MySqlConnection,
    claims: &[ClaimId],
) -> Result<HashSet<ClaimId>, Error> {
    Ok(coupons::store::existing(connection, claims).await?)
}

/// Says that a claim's coupon cannot be issued for now. The claim stays admitted.
/// False: there is no such claim, or its coupon exists, and nothing was said.
pub async fn fail(
    transaction: &mut Transaction<'_, MySql>,
    change: Change<'_>,
    claim_id: ClaimId,
    reason: &str,
) -> Result<bool, Error> {
    let Some(claim) = store::lock_for_release(transaction, claim_id).await? else {
        return Ok(false);
    };
    if claim.issued {
        return Ok(false);
    }
    let event = ClaimFailed {
        claim_id,
        campaign_id: claim.campaign_id,
        partner_id: claim.partner_id,
        user_id: claim.user_id.as_str().to_owned(),
        ticket: claim.ticket.get().cast_signed(),
        reason: reason.to_owned(),
        failed_at: change.now.into(),
    };
    let traceparent = change.traceparent.map(str::to_owned);
    let row = change
        .writer
        .row(&event, claim.predecessor, change.now, traceparent)?;
    let last = Predecessor {
        sequence: row.sequence,
        outbox_id: row.id,
    };
    store::set_last_event(transaction, claim_id, last).await?;
    EventWriter::write(transaction, &[row]).await?;
    Ok(true)
}
