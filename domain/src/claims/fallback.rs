//! Admission through MySQL while Redis is gone: slower, and just as exact. One batch
//! holds the campaign's row, so tickets are handed out one batch after the other.

use std::time::Duration;

use chrono::{DateTime, Utc};
use headgate_outbox::write::EventWriter;
use headgate_schemas::ids::{CampaignId, ClaimId, PartnerId};
use headgate_schemas::names::UserId;
use headgate_schemas::quantities::{AdmissionEpoch, Ticket};
use sqlx::{MySql, Transaction};

use super::admit::{self, Gate};
use super::store;
use super::store::epochs::{self, FallbackGate};
use super::{Claim, Reservation, sequence};
use crate::Error;

/// Who asks.
#[derive(Clone, Debug)]
pub struct Request {
    /// Chosen by whoever asks, so that asking again gives the same answer.
    pub claim_id: ClaimId,
    /// The user.
    pub user_id: UserId,
    /// Trace of the request.
    pub traceparent: Option<String>,
}

/// The campaign that is asked.
#[derive(Clone, Copy, Debug)]
pub struct Campaign {
    /// Its row.
    pub campaign_no: u32,
    /// Its id.
    pub campaign_id: CampaignId,
    /// Its partner.
    pub partner_id: PartnerId,
}

/// What became of a request, once the transaction has committed.
#[derive(Clone, Debug)]
pub enum Outcome {
    /// Admitted.
    Admitted(Box<Reservation>),
    /// This user has a claim already (maybe this very one).
    AlreadyClaimed(Box<Claim>),
    /// No ticket is left.
    SoldOut,
    /// The campaign lets nobody in now.
    Closed,
}

/// What became of a batch, once the transaction has committed.
#[derive(Clone, Debug)]
pub enum Answer {
    /// An outcome for each request, in their order.
    Outcomes(Vec<Outcome>),
    /// Tickets are handed out from then on: until then other processes may still say "sold
    /// out" to whoever is admitted here. Ask again.
    Resting(Duration),
}

/// Admits a batch of requests of different users. The answer holds once the transaction
/// has committed. `rest` is how long what was said in Redis's name may still be believed.
pub async fn admit(
    transaction: &mut Transaction<'_, MySql>,
    writer: &EventWriter,
    campaign: Campaign,
    requests: &[Request],
    rest: Duration,
    now: DateTime<Utc>,
) -> Result<Answer, Error> {
    let mut locked = epochs::lock_fallback(transaction, campaign.campaign_no).await?;
    if !locked.gate.passable {
        return Ok(Answer::Outcomes(
            requests.iter().map(|_| Outcome::Closed).collect(),
        ));
    }
    let users: Vec<UserId> = requests.iter().map(|request| request.user_id.clone()).collect();
    let earlier = store::of_users(transaction, campaign.campaign_no, &users).await?;
    let has_claim = |user: &UserId| earlier.iter().find(|claim| claim.user_id == *user);
    let wanted = requests
        .iter()
        .filter(|request| has_claim(&request.user_id).is_none())
        .count();
    let (tickets, left) = free_tickets(transaction, campaign.campaign_no, locked.gate, wanted).await?;
    if !tickets.is_empty() {
        if locked.gate.by_redis {
            epochs::begin_fallback(transaction, campaign.campaign_no).await?;
            locked = epochs::lock_fallback(transaction, campaign.campaign_no).await?;
            if locked.rests > rest {
                // Its rest begins when everybody can see it: after this transaction.
                return Ok(Answer::Resting(Duration::ZERO));
            }
        } else if locked.rests > rest {
            epochs::time_opening(transaction, campaign.campaign_no, rest).await?;
            return Ok(Answer::Resting(rest));
        }
        if !locked.rests.is_zero() {
            return Ok(Answer::Resting(locked.rests));
        }
    }
    let reservations = reserve(
        campaign,
        locked,
        requests,
        |user| has_claim(user).is_some(),
        &tickets,
        left,
    );
    if !reservations.is_empty() {
        let used = locked.sequence + u32::try_from(reservations.len()).unwrap_or(u32::MAX);
        epochs::keep_fallback(transaction, campaign.campaign_no, used).await?;
        let gates = [(campaign.campaign_no, locked.gate)].into();
        admit::insert(
            transaction,
            writer,
            &reservations.iter().collect::<Vec<_>>(),
            &gates,
            now,
        )
        .await?;
    }
    let mut admitted = reservations.into_iter().peekable();
    let outcomes = requests
        .iter()
        .map(|request| match (has_claim(&request.user_id), admitted.peek()) {
            (Some(claim), _) => Outcome::AlreadyClaimed(Box::new(claim.clone())),
            (None, Some(reservation)) if reservation.claim_id == request.claim_id => {
                admitted.next().map_or(Outcome::SoldOut, |reservation| {
                    Outcome::Admitted(Box::new(reservation))
                })
            }
            (None, _) => Outcome::SoldOut,
        })
        .collect();
    Ok(Answer::Outcomes(outcomes))
}

/// Up to `wanted` free tickets, those above the highest first, and how many are left
/// beyond what is returned, as far as that is known without counting.
async fn free_tickets(
    transaction: &mut Transaction<'_, MySql>,
    campaign_no: u32,
    gate: Gate,
    wanted: usize,
) -> Result<(Vec<u32>, u32), Error> {
    let highest = epochs::highest_ticket(transaction, campaign_no).await?;
    let mut tickets: Vec<u32> = (highest + 1..=gate.quota).take(wanted).collect();
    if tickets.len() < wanted {
        let missing = u32::try_from(wanted - tickets.len()).unwrap_or(u32::MAX);
        tickets.extend(epochs::holes(transaction, campaign_no, missing).await?);
    }
    Ok((tickets, gate.quota.saturating_sub(highest)))
}

fn reserve(
    campaign: Campaign,
    locked: FallbackGate,
    requests: &[Request],
    has_claim: impl Fn(&UserId) -> bool,
    tickets: &[u32],
    left: u32,
) -> Vec<Reservation> {
    let Ok(epoch) = AdmissionEpoch::new(locked.gate.epoch) else {
        return Vec::new();
    };
    let newcomers = requests.iter().filter(|request| !has_claim(&request.user_id));
    newcomers
        .zip(tickets)
        .zip(1_u32..)
        .filter_map(|((request, ticket), nth)| {
            Some(Reservation {
                claim_id: request.claim_id,
                campaign_no: campaign.campaign_no,
                campaign_id: campaign.campaign_id,
                partner_id: campaign.partner_id,
                user_id: request.user_id.clone(),
                ticket: Ticket::new(*ticket).ok()?,
                epoch,
                sequence: sequence(epoch, locked.sequence + nth),
                stock_left: left.saturating_sub(nth),
                traceparent: request.traceparent.clone(),
            })
        })
        .collect()
}
