//! Sorting out what MySQL refused, and what nobody knows the outcome of.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use headgate_admission::Held;
use headgate_admission::release::TicketIs;
use headgate_domain::claims::admit::Gate;
use headgate_domain::claims::{Claim, store};
use headgate_schemas::ids::{CampaignId, ClaimId};

use super::campaign::CampaignQueue;
use super::confirm::pending;
use super::{ClaimAnswer, Reserved, Shared, turn_away};

/// Longest search for the outcome of a commit whose answer was lost.
const FIND_OUT_TIMEOUT: Duration = Duration::from_secs(1);

pub(super) struct Settle {
    pub shared: Arc<Shared>,
    pub campaigns: moka::sync::Cache<CampaignId, Arc<CampaignQueue>>,
}

/// What MySQL holds of a batch that met a duplicate.
struct Conflict {
    mine: bool,
    of_user: Option<Claim>,
    of_ticket: Option<Claim>,
}

impl Settle {
    /// After a duplicate: answers the claims that collided and returns the others, to be
    /// tried again. Read in this order: my claim id -> it is done (a commit whose answer
    /// was lost); my user -> already claimed; my ticket -> another one.
    pub async fn sort_out(&self, batch: Vec<Reserved>) -> Vec<Reserved> {
        let mut again = Vec::with_capacity(batch.len());
        let ids: Vec<ClaimId> = batch.iter().map(|claim| claim.reservation.claim_id).collect();
        let Ok(durable) = store::tickets_of(&self.shared.pool, &ids).await else {
            turn_away(batch.into_iter().map(|claim| claim.asked));
            return again;
        };
        for claim in batch {
            let mine = durable.contains_key(&claim.reservation.claim_id);
            match self.conflict(&claim, mine).await {
                Ok(Conflict { mine: true, .. }) => self.durable(claim),
                Ok(Conflict {
                    of_user: Some(earlier),
                    of_ticket,
                    ..
                }) => {
                    self.already_claimed(claim, earlier, of_ticket.is_some()).await;
                }
                Ok(Conflict {
                    of_ticket: Some(holder),
                    ..
                }) => self.exchange(claim, Some(holder)).await,
                Ok(_) => again.push(claim),
                Err(error) => {
                    tracing::warn!(%error, "a refused claim could not be looked up");
                    claim.asked.answer(ClaimAnswer::UNAVAILABLE);
                }
            }
        }
        again
    }

    async fn conflict(&self, claim: &Reserved, mine: bool) -> Result<Conflict, sqlx::Error> {
        let reservation = &claim.reservation;
        if mine {
            return Ok(Conflict {
                mine,
                of_user: None,
                of_ticket: None,
            });
        }
        let of_user =
            store::find_of_user(&self.shared.pool, reservation.campaign_no, &reservation.user_id).await?;
        let of_ticket =
            store::find_of_ticket(&self.shared.pool, reservation.campaign_no, reservation.ticket).await?;
        Ok(Conflict {
            mine,
            of_user,
            of_ticket,
        })
    }

    fn durable(&self, claim: Reserved) {
        self.shared.waker.wake();
        self.shared.confirmer.committed(std::slice::from_ref(&claim));
        let answer = claim.admitted();
        claim.asked.answer(answer);
    }

    /// Redis did not know of the user's claim: the ticket goes back, unless somebody
    /// holds it, and Redis learns.
    async fn already_claimed(&self, claim: Reserved, earlier: Claim, ticket_taken: bool) {
        let ticket = if ticket_taken {
            TicketIs::Taken
        } else {
            TicketIs::Free
        };
        self.give_back(&claim, ticket, Some(held(&earlier))).await;
        metrics::counter!("headgate_coupon_duplicate_total").increment(1);
        claim.asked.answer(ClaimAnswer::AlreadyClaimed(Box::new(earlier)));
    }

    /// The ticket is another's: the claim asks for a fresh one, with the same claim id.
    async fn exchange(&self, claim: Reserved, holder: Option<Claim>) {
        self.give_back(&claim, TicketIs::Taken, None).await;
        if let Some(holder) = holder {
            let learned = self
                .shared
                .admission
                .learn(holder.campaign_id, &holder.user_id, held(&holder))
                .await;
            if let Err(error) = learned {
                tracing::debug!(%error, "redis did not learn of a holder");
            }
        }
        metrics::counter!("headgate_admission_refused_tickets_total").increment(1);
        if let Some(queue) = self.campaigns.get(&claim.reservation.campaign_id) {
            queue.ticket_refused();
        }
        self.ask_again(claim);
    }

    fn ask_again(&self, claim: Reserved) {
        match self.campaigns.get(&claim.reservation.campaign_id) {
            Some(queue) => queue.push_again(claim.asked),
            None => claim.asked.answer(ClaimAnswer::UNAVAILABLE),
        }
    }

    /// The campaign's row refused the reservation.
    pub async fn turn_away(&self, claim: Reserved, gate: Gate) {
        if !gate.passable {
            self.give_back(&claim, TicketIs::Free, None).await;
            claim.asked.answer(ClaimAnswer::Closed);
        } else if gate.is_of(&claim.reservation) {
            // A ticket above the quota: the state in Redis is wrong.
            self.exchange(claim, None).await;
        } else {
            // Reserved before the state was rebuilt or MySQL took over: it takes its
            // place in the new order. Nothing is wrong with the new state.
            self.give_back(&claim, TicketIs::Free, None).await;
            if let Some(queue) = self.campaigns.get(&claim.reservation.campaign_id) {
                if claim.reservation.epoch.get() >= gate.epoch {
                    // MySQL was put back to an earlier state, and Redis was not.
                    queue.want_rebuild();
                }
                queue.saw_epoch(gate.epoch);
            }
            self.ask_again(claim);
        }
    }

    /// After a lost answer: what is found is admitted. What is not found may still be
    /// under way in MySQL, so it is neither released nor refused for good.
    pub async fn find_out(&self, batch: Vec<Reserved>) {
        let ids: Vec<ClaimId> = batch.iter().map(|claim| claim.reservation.claim_id).collect();
        let found = tokio::time::timeout(FIND_OUT_TIMEOUT, store::tickets_of(&self.shared.pool, &ids)).await;
        let durable: HashMap<_, _> = found.ok().and_then(Result::ok).unwrap_or_default();
        for claim in batch {
            if durable.contains_key(&claim.reservation.claim_id) {
                self.durable(claim);
            } else {
                claim.asked.answer(ClaimAnswer::UNAVAILABLE);
            }
        }
    }

    async fn give_back(&self, claim: &Reserved, ticket: TicketIs, holds: Option<Held>) {
        let campaign_id = claim.reservation.campaign_id;
        if let Err(error) = self
            .shared
            .admission
            .release(campaign_id, &pending(claim), ticket, holds)
            .await
        {
            tracing::debug!(%campaign_id, %error, "a reservation was not given back; the sweeper does it");
        }
    }
}

fn held(claim: &Claim) -> Held {
    Held {
        claim_id: claim.claim_id,
        ticket: claim.ticket,
        sequence: claim.sequence,
    }
}
