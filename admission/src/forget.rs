//! Forgetting a holder whose claim was released without Redis being told.

use headgate_domain::claims::store;
use headgate_schemas::ids::CampaignId;
use headgate_schemas::names::UserId;
use redis::AsyncCommands;
use sqlx::MySqlPool;

use crate::release::{Pending, TicketIs};
use crate::{Admission, Error, Held};

impl Admission {
    /// For a user of whom Redis says that he holds a claim and MySQL knows none. While
    /// the reservation is pending, its commit may be under way: nothing is done. When it
    /// is not, it was committed, and a claim that MySQL has no more was released: Redis
    /// forgets it. Returns whether it did; the user may then ask anew.
    pub async fn forget_released(
        &self,
        pool: &MySqlPool,
        campaign_no: u32,
        campaign_id: CampaignId,
        user_id: &UserId,
        held: Held,
    ) -> Result<bool, Error> {
        let reservation = Pending {
            claim_id: held.claim_id,
            ticket: held.ticket,
            user_id: user_id.clone(),
        };
        let key = self.keys(campaign_id);
        let pending: Option<f64> = self
            .connection
            .clone()
            .zscore(key.pending(), reservation.to_bytes())
            .await?;
        if pending.is_some() {
            return Ok(false);
        }
        // Only now MySQL: what was pending before the question above is decided.
        if store::find_of_user(pool, campaign_no, user_id).await?.is_some() {
            return Ok(false);
        }
        let ticket = match store::find_of_ticket(pool, campaign_no, held.ticket).await? {
            None => TicketIs::Free,
            Some(_) => TicketIs::Taken,
        };
        self.release(campaign_id, &reservation, ticket, None).await?;
        Ok(true)
    }
}
