//! What Redis answered, on its way to those who asked: a reservation to its commit, the
//! rest to MySQL, which has the last word.

use std::sync::Arc;
use std::time::{Duration, Instant};

use headgate_admission::reserve::Answer;
use headgate_admission::{Error, Held};
use headgate_domain::campaigns::Campaign;
use headgate_domain::claims::store::epochs;
use headgate_domain::claims::{Reservation, store};
use headgate_runtime::mysql;
use headgate_schemas::ids::CampaignId;
use headgate_schemas::quantities::AdmissionEpoch;

use super::campaign::{State, push_again};
use super::{Asked, ClaimAnswer, Reserved, turn_away};

/// How long a twin's claim that is under way is waited for, and how often it is looked
/// for.
const TWIN_WAIT: Duration = Duration::from_secs(2);
const TWIN_LOOK_EVERY: Duration = Duration::from_millis(10);

impl State {
    pub(super) async fn distribute(
        self: &Arc<Self>,
        campaign: &Arc<Campaign>,
        epoch: AdmissionEpoch,
        answers: impl Iterator<Item = (Asked, Answer)>,
    ) {
        let mut sold_out = Vec::new();
        let mut nothing_comes_back = false;
        let mut group = Vec::new();
        for (asked, answer) in answers {
            match answer {
                Answer::Reserved {
                    ticket,
                    sequence,
                    stock_left,
                } => {
                    self.saw(epoch.get(), ticket.get());
                    let reservation = Reservation {
                        claim_id: asked.claim_id,
                        campaign_no: self.campaign_no,
                        campaign_id: campaign.campaign_id,
                        partner_id: campaign.partner_id,
                        user_id: asked.user_id.clone(),
                        ticket,
                        epoch,
                        sequence,
                        stock_left,
                        traceparent: asked.traceparent.clone(),
                    };
                    group.push(Reserved { reservation, asked });
                }
                Answer::Held(held) => {
                    tokio::spawn(answer_with_earlier_claim(self.clone(), asked, held));
                }
                Answer::SoldOut { is_final } => {
                    nothing_comes_back = is_final;
                    sold_out.push(asked);
                }
            }
        }
        if !sold_out.is_empty() {
            Self::ask_whether_sold_out(self, campaign);
            let answered = answer_sold_out(self.clone(), epoch, nothing_comes_back, sold_out);
            tokio::spawn(answered);
        }
        if !group.is_empty()
            && let Err(refused) = self.commits.push(group).await
        {
            turn_away(refused.into_iter().map(|claim| claim.asked));
        }
    }

    /// Whether the claim that Redis speaks of was released, and Redis has forgotten it now.
    async fn forgot_released(&self, asked: &Asked, held: Held) -> bool {
        let (campaign_id, user_id) = (asked.campaign.campaign_id, &asked.user_id);
        let question = self.shared.admission.forget_released(
            &self.shared.pool,
            self.campaign_no,
            campaign_id,
            user_id,
            held,
        );
        self.within(question).await.unwrap_or(false)
    }

    /// Whether what Redis said in this epoch was said by who hands out the tickets. Asked
    /// after Redis: a state that MySQL has given up since then is not believed, nor one that
    /// another Redis took, or the same before it was started again.
    pub(super) async fn is_current(&self, campaign_id: CampaignId, epoch: u32) -> Result<bool, Error> {
        let _permit = self.reads.acquire().await;
        let limit = self.shared.limits.commit_timeout;
        let current = mysql::within(&self.shared.pool, limit, async |connection| {
            epochs::current(connection, self.campaign_no).await
        })
        .await?;
        self.saw(current.epoch, 0);
        if current.epoch > epoch {
            return Ok(false);
        }
        let is_current = current.epoch == epoch
            && current.by_redis
            && self
                .within(self.shared.admission.is_of_this_server(campaign_id))
                .await?;
        if !is_current {
            // Or MySQL was put back to an earlier state, and Redis was not.
            self.want_rebuild();
        }
        Ok(is_current)
    }
}

/// Redis says that no ticket is left. It may have been frozen, or be an older state, while
/// others admit through MySQL.
async fn answer_sold_out(state: Arc<State>, epoch: AdmissionEpoch, is_final: bool, sold_out: Vec<Asked>) {
    let Some(first) = sold_out.first() else { return };
    match state.is_current(first.campaign.campaign_id, epoch.get()).await {
        Ok(true) => {
            for asked in sold_out {
                asked.answer(ClaimAnswer::SoldOut { is_final });
            }
        }
        Ok(false) => {
            for asked in sold_out {
                push_again(state.again.upgrade().as_ref(), &state, asked);
            }
        }
        Err(error) => {
            tracing::debug!(%error, "nobody can say whether that is so");
            turn_away(sold_out);
        }
    }
}

/// Redis says that the user holds another claim: the answer is in MySQL, now or, if a
/// twin of this request is under way, in a moment.
async fn answer_with_earlier_claim(state: Arc<State>, asked: Asked, held: Held) {
    let mut waits_until = None;
    let found = loop {
        let read = {
            let _permit = state.reads.acquire().await;
            let limit = state.shared.limits.commit_timeout;
            mysql::within(&state.shared.pool, limit, async |connection| {
                store::find_of_user(connection, state.campaign_no, &asked.user_id).await
            })
            .await
        };
        match read {
            Ok(Some(claim)) => break Some(claim),
            Ok(None) if state.forgot_released(&asked, held).await => {
                return push_again(state.again.upgrade().as_ref(), &state, asked);
            }
            Ok(None) if Instant::now() < *waits_until.get_or_insert_with(|| Instant::now() + TWIN_WAIT) => {
                tokio::time::sleep(TWIN_LOOK_EVERY).await;
            }
            Ok(None) => {
                tracing::debug!(claim_id = %held.claim_id, "the user's other claim is not durable yet");
                break None;
            }
            Err(error) => {
                tracing::debug!(%error, "an earlier claim could not be read");
                break None;
            }
        }
    };
    let answer = match found {
        Some(claim) if claim.claim_id == asked.claim_id => ClaimAnswer::Admitted(Box::new(claim)),
        Some(claim) => ClaimAnswer::AlreadyClaimed(Box::new(claim)),
        None => ClaimAnswer::UNAVAILABLE,
    };
    asked.answer(answer);
}
