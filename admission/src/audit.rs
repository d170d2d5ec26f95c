//! Looking for tickets that were handed out and are in nobody's hands.

use std::collections::HashSet;

use headgate_domain::claims::store;
use headgate_schemas::ids::CampaignId;
use sqlx::MySqlPool;

use crate::release::Pending;
use crate::{Admission, Error};

/// Tickets that are compared at a time.
const PAGE_TICKETS: u32 = 5_000;

/// Epoch and counter; neither when the state is lost.
type State = (Option<u32>, Option<u32>);

/// Epoch, counter and quota.
type Whole = (Option<u32>, Option<u32>, Option<u32>);

impl Admission {
    /// Frees the tickets up to the counter that are neither free nor pending in Redis
    /// nor held in MySQL. Reads Redis first: what moves on meanwhile has become a claim
    /// by the time MySQL is read. Returns how many were freed. Run by one process.
    pub async fn audit(
        &self,
        pool: &MySqlPool,
        campaign_no: u32,
        campaign_id: CampaignId,
    ) -> Result<u64, Error> {
        let keys = self.keys(campaign_id);
        let mut connection = self.connection.clone();
        let ((epoch, counter, quota), free, pending): (Whole, Vec<String>, Vec<Vec<u8>>) = redis::pipe()
            .atomic()
            .hmget(keys.state(), &["epoch", "counter", "quota"])
            .zrange(keys.free(), 0, -1)
            .zrange(keys.pending(), 0, -1)
            .query_async(&mut connection)
            .await?;
        let (Some(epoch), Some(counter), Some(quota)) = (epoch, counter, quota) else {
            return Ok(0);
        };
        // What lies above the quota is no ticket, whatever the counter says.
        let counter = counter.min(quota);
        let mut in_hands: HashSet<u32> = free.iter().filter_map(|ticket| ticket.parse().ok()).collect();
        in_hands.extend(
            pending
                .iter()
                .filter_map(|bytes| Pending::from_bytes(bytes))
                .map(|p| p.ticket.get()),
        );
        // Cheap when all is well: as many as were handed out are accounted for.
        if store::count(pool, campaign_no).await? + in_hands.len() as u64 >= u64::from(counter) {
            return Ok(0);
        }
        let mut freed = 0;
        let mut after = 0;
        while after < counter {
            let page = store::holders(pool, campaign_no, after, PAGE_TICKETS).await?;
            let last = page
                .last()
                .map_or(counter, |holder| holder.ticket.get().min(counter));
            let held: HashSet<u32> = page.iter().map(|holder| holder.ticket.get()).collect();
            let leaked: Vec<u32> = (after + 1..=last)
                .filter(|ticket| !held.contains(ticket) && !in_hands.contains(ticket))
                .collect();
            freed += self.return_leaked(campaign_id, epoch, &leaked).await?;
            after = if page.is_empty() { counter } else { last };
        }
        if freed > 0 {
            metrics::counter!("headgate_admission_leaked_total").increment(freed);
            tracing::warn!(%campaign_id, tickets = freed, "leaked tickets were freed");
        }
        Ok(freed)
    }

    async fn return_leaked(&self, campaign_id: CampaignId, epoch: u32, leaked: &[u32]) -> Result<u64, Error> {
        let keys = self.keys(campaign_id);
        let mut freed = 0;
        for tickets in leaked.chunks(crate::reserve::REQUESTS_MAX) {
            let mut call = self.scripts.return_leaked.prepare_invoke();
            for key in keys.all() {
                call.key(key);
            }
            call.arg(epoch).arg(self.settings().rest_ms());
            for ticket in tickets {
                call.arg(*ticket);
            }
            let count: u64 = call.invoke_async(&mut self.connection.clone()).await?;
            freed += count;
        }
        Ok(freed)
    }
}

/// How many reservations are pending and how many tickets are free: what reconciliation
/// and the operator show. `None`: Redis has no state of the campaign.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Outstanding {
    /// The newest epoch.
    pub epoch: u32,
    /// Highest ticket handed out.
    pub counter: u32,
    /// Returned tickets.
    pub free: u64,
    /// Reservations not settled.
    pub pending: u64,
}

impl Admission {
    /// Reads [`Outstanding`].
    pub async fn outstanding(&self, campaign_id: CampaignId) -> Result<Option<Outstanding>, Error> {
        let keys = self.keys(campaign_id);
        let ((epoch, counter), free, pending): (State, u64, u64) = redis::pipe()
            .atomic()
            .hmget(keys.state(), &["epoch", "counter"])
            .zcard(keys.free())
            .zcard(keys.pending())
            .query_async(&mut self.connection.clone())
            .await?;
        Ok(epoch.zip(counter).map(|(epoch, counter)| Outstanding {
            epoch,
            counter,
            // Without the sentinels.
            free: free.saturating_sub(1),
            pending: pending.saturating_sub(1),
        }))
    }
}
