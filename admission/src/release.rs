//! After the commit: confirm what became a claim, give back what did not.

use headgate_schemas::ids::{CampaignId, ClaimId};
use headgate_schemas::names::UserId;
use headgate_schemas::quantities::Ticket;
use redis::AsyncCommands;

use crate::{Admission, Error, Held};

/// A reservation, as the state keeps it while it is pending.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pending {
    /// The claim to be.
    pub claim_id: ClaimId,
    /// Its ticket.
    pub ticket: Ticket,
    /// Whose.
    pub user_id: UserId,
}

/// Bytes before the user in a pending entry.
const PENDING_HEAD_BYTES: usize = 16 + 4;

impl Pending {
    pub(crate) fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(PENDING_HEAD_BYTES + self.user_id.as_str().len());
        bytes.extend_from_slice(self.claim_id.as_bytes());
        bytes.extend_from_slice(&self.ticket.get().to_be_bytes());
        bytes.extend_from_slice(self.user_id.as_str().as_bytes());
        bytes
    }

    /// `None` for the sentinel.
    pub(crate) fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let (claim_id, rest) = bytes.split_first_chunk::<16>()?;
        let (ticket, user) = rest.split_first_chunk::<4>()?;
        Some(Self {
            claim_id: ClaimId::from_bytes(*claim_id),
            ticket: Ticket::new(u32::from_be_bytes(*ticket)).ok()?,
            user_id: UserId::from_stored(user.to_vec()),
        })
    }
}

/// Who has the ticket that is given back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TicketIs {
    /// No claim in MySQL holds it: it goes to the next asker.
    Free,
    /// Another claim in MySQL holds it: only the reservation goes.
    Taken,
}

impl Admission {
    /// The reservations are claims now.
    pub async fn confirm(&self, campaign_id: CampaignId, claims: &[Pending]) -> Result<(), Error> {
        let members: Vec<Vec<u8>> = claims.iter().map(Pending::to_bytes).collect();
        let _removed: u64 = self
            .connection
            .clone()
            .zrem(self.keys(campaign_id).pending(), members)
            .await?;
        Ok(())
    }

    /// Gives a reservation back, or a released claim's ticket. `holds` is what MySQL
    /// says the user really holds. Returns whether the ticket became free. Doing it
    /// twice, or late, changes nothing.
    pub async fn release(
        &self,
        campaign_id: CampaignId,
        pending: &Pending,
        ticket: TicketIs,
        holds: Option<Held>,
    ) -> Result<bool, Error> {
        let keys = self.keys(campaign_id);
        let mut call = self.scripts.release.prepare_invoke();
        for key in keys.all() {
            call.key(key);
        }
        call.arg(pending.claim_id.as_bytes().as_slice())
            .arg(pending.ticket.get())
            .arg(pending.user_id.as_str());
        call.arg(i32::from(ticket == TicketIs::Free))
            .arg(self.settings().rest_ms());
        match holds {
            Some(held) => call.arg(held.to_bytes().as_slice()),
            None => call.arg(""),
        };
        let freed: u8 = call.invoke_async(&mut self.connection.clone()).await?;
        Ok(freed == 1)
    }

    /// Tells the state of a holder that MySQL knows and it does not.
    pub async fn learn(&self, campaign_id: CampaignId, user_id: &UserId, holds: Held) -> Result<(), Error> {
        let keys = self.keys(campaign_id);
        let mut call = self.scripts.learn.prepare_invoke();
        for key in keys.all() {
            call.key(key);
        }
        call.arg(user_id.as_str()).arg(holds.to_bytes().as_slice());
        let _there: u8 = call.invoke_async(&mut self.connection.clone()).await?;
        Ok(())
    }
}
