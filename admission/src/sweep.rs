//! Settling reservations whose commit was never reported: the process died, the
//! answer was lost. MySQL says what became of them.

use std::collections::HashMap;

use headgate_domain::claims::store;
use headgate_schemas::ids::{CampaignId, ClaimId};
use redis::AsyncCommands;
use sqlx::MySqlPool;

use crate::release::{Pending, TicketIs};
use crate::{Admission, Error, Held};

/// Reservations that are settled in one round.
const ROUND_MAX: isize = 500;

/// What a round did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Swept {
    /// Reservations that had become claims.
    pub confirmed: u64,
    /// Reservations that were given back.
    pub released: u64,
    /// Whether there may be more.
    pub more: bool,
}

impl Admission {
    /// Settles the reservations of a campaign whose time is up. Asks by claim id and
    /// by ticket, never by user: the user may have claimed again meanwhile.
    pub async fn sweep(
        &self,
        pool: &MySqlPool,
        campaign_no: u32,
        campaign_id: CampaignId,
    ) -> Result<Swept, Error> {
        let due = self.due(campaign_id).await?;
        if due.is_empty() {
            return Ok(Swept::default());
        }
        let ids: Vec<ClaimId> = due.iter().map(|pending| pending.claim_id).collect();
        let tickets: Vec<u32> = due.iter().map(|pending| pending.ticket.get()).collect();
        let claims = store::tickets_of(pool, &ids).await?;
        let holders: HashMap<u32, ClaimId> = store::holders_of(pool, campaign_no, &tickets).await?;
        let mut swept = Swept {
            more: due.len().cast_signed() >= ROUND_MAX,
            ..Swept::default()
        };
        let (committed, rest): (Vec<Pending>, Vec<Pending>) = due.into_iter().partition(|pending| {
            claims
                .get(&pending.claim_id)
                .is_some_and(|(ticket, _)| *ticket == pending.ticket)
        });
        if !committed.is_empty() {
            self.confirm(campaign_id, &committed).await?;
            swept.confirmed = committed.len() as u64;
        }
        for pending in rest {
            let ticket = match holders.get(&pending.ticket.get()) {
                None => TicketIs::Free,
                Some(_) => TicketIs::Taken,
            };
            // The claim may have become durable under another ticket, through MySQL.
            let holds = claims.get(&pending.claim_id).map(|(ticket, sequence)| Held {
                claim_id: pending.claim_id,
                ticket: *ticket,
                sequence: *sequence,
            });
            self.release(campaign_id, &pending, ticket, holds).await?;
            swept.released += 1;
        }
        metrics::counter!("headgate_admission_swept_total", "outcome" => "confirmed")
            .increment(swept.confirmed);
        metrics::counter!("headgate_admission_swept_total", "outcome" => "released")
            .increment(swept.released);
        Ok(swept)
    }

    async fn due(&self, campaign_id: CampaignId) -> Result<Vec<Pending>, Error> {
        let mut connection = self.connection.clone();
        // Redis's own clock set the deadlines.
        let (seconds, micros): (i64, i64) = redis::cmd("TIME").query_async(&mut connection).await?;
        let now = seconds * 1_000 + micros / 1_000;
        let key = self.keys(campaign_id);
        let due: Vec<Vec<u8>> = connection
            .zrangebyscore_limit(key.pending(), 0, now, 0, ROUND_MAX)
            .await?;
        Ok(due
            .iter()
            .filter_map(|bytes| Pending::from_bytes(bytes))
            .collect())
    }
}
