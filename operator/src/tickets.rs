//! Tells Redis about a ticket that became free in MySQL.

use headgate_domain::claims::release::ReleasedClaim;
use redis::AsyncCommands;

use crate::state::Servers;

/// Gives a released claim's ticket to the next asker, and wakes whoever waits for the
/// claim. Never fails the act: it is committed, and what Redis is not told the audit of
/// tickets finds.
pub async fn give_back(servers: &Servers, claim: &ReleasedClaim) {
    if let Err(error) = servers.admission.give_back(&servers.pool, claim).await {
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
