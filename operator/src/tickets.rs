//! Tells Redis about a ticket that became free in MySQL.

use headgate_admission::Held;
use headgate_admission::release::{Pending, TicketIs};
use headgate_domain::claims::release::ReleasedClaim;
use headgate_domain::claims::store;
use redis::AsyncCommands;

use crate::Error;
use crate::state::Servers;

/// Gives a released claim's ticket to the next asker, and wakes whoever waits for the
/// claim. Never fails the act: it is committed, and what Redis is not told the audit of
/// tickets finds.
pub async fn give_back(servers: &Servers, claim: &ReleasedClaim) {
    if let Err(error) = try_give_back(servers, claim).await {
        tracing::warn!(claim_id = %claim.claim_id, %error, "a free ticket waits for the audit of tickets");
    }
    let waiting = servers
        .redis
        .clone()
        .publish::<_, _, ()>(
            servers.config.redis.claims_channel(),
            claim.claim_id.as_bytes().as_slice(),
        )
        .await;
    if let Err(error) = waiting {
        tracing::debug!(%error, "whoever waits for the claim reads it at the next look");
    }
}

async fn try_give_back(servers: &Servers, claim: &ReleasedClaim) -> Result<(), Error> {
    // Since the commit somebody may have taken the ticket, or the user claimed anew.
    let holder = store::find_of_ticket(&servers.pool, claim.campaign_no, claim.ticket).await?;
    let newer = store::find_of_user(&servers.pool, claim.campaign_no, &claim.user_id).await?;
    let pending = Pending {
        claim_id: claim.claim_id,
        ticket: claim.ticket,
        user_id: claim.user_id.clone(),
    };
    let ticket = if holder.is_none() {
        TicketIs::Free
    } else {
        TicketIs::Taken
    };
    let holds = newer.map(|claim| Held {
        claim_id: claim.claim_id,
        ticket: claim.ticket,
        sequence: claim.sequence,
    });
    servers
        .admission
        .release(claim.campaign_id, &pending, ticket, holds)
        .await?;
    Ok(())
}
