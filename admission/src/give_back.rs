//! A claim that was released in MySQL: its ticket goes to the next asker.

use headgate_domain::claims::release::ReleasedClaim;
use headgate_domain::claims::store;
use sqlx::MySqlPool;

use crate::release::{Pending, TicketIs};
use crate::{Admission, Error, Held};

impl Admission {
    /// Tells Redis about a ticket that became free in MySQL. What is not told the audit of
    /// tickets finds.
    pub async fn give_back(&self, pool: &MySqlPool, claim: &ReleasedClaim) -> Result<(), Error> {
        // Since the commit somebody may have taken the ticket, or the user claimed anew.
        let holder = store::find_of_ticket(pool, claim.campaign_no, claim.ticket).await?;
        let newer = store::find_of_user(pool, claim.campaign_no, &claim.user_id).await?;
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
        self.release(claim.campaign_id, &pending, ticket, holds).await?;
        Ok(())
    }
}
