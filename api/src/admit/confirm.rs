//! Telling Redis, behind the answer, which reservations have become claims. What is
//! not told is found by the sweeper.

use std::collections::HashMap;

use headgate_admission::Admission;
use headgate_admission::release::Pending;
use headgate_runtime::shutdown::TaskTracker;
use headgate_schemas::ids::CampaignId;
use tokio::sync::mpsc;

use super::Reserved;

/// Groups that may wait; beyond it the sweeper confirms.
const WAITING_GROUPS_MAX: usize = 1_024;
/// Groups that are told together.
const TOGETHER_MAX: usize = 16;

#[derive(Clone)]
pub(super) struct Confirmer {
    groups: mpsc::Sender<Vec<(CampaignId, Pending)>>,
}

impl Confirmer {
    /// Starts the task; it ends with the last clone.
    pub fn start(admission: Admission, tasks: &TaskTracker) -> Self {
        let (groups, mut waiting) = mpsc::channel::<Vec<(CampaignId, Pending)>>(WAITING_GROUPS_MAX);
        tasks.spawn(async move {
            let mut together = Vec::with_capacity(TOGETHER_MAX);
            while waiting.recv_many(&mut together, TOGETHER_MAX).await > 0 {
                confirm(&admission, together.drain(..).flatten()).await;
            }
        });
        Self { groups }
    }

    /// Passes on what a transaction has committed. Never waits.
    pub fn committed(&self, claims: &[Reserved]) {
        let group = claims
            .iter()
            .map(|claim| (claim.reservation.campaign_id, pending(claim)))
            .collect();
        let _left_to_the_sweeper = self.groups.try_send(group);
    }
}

/// The reservation as Redis knows it.
pub(super) fn pending(claim: &Reserved) -> Pending {
    let reservation = &claim.reservation;
    Pending {
        claim_id: reservation.claim_id,
        ticket: reservation.ticket,
        user_id: reservation.user_id.clone(),
    }
}

async fn confirm(admission: &Admission, claims: impl Iterator<Item = (CampaignId, Pending)>) {
    let mut of_campaign: HashMap<CampaignId, Vec<Pending>> = HashMap::new();
    for (campaign_id, pending) in claims {
        of_campaign.entry(campaign_id).or_default().push(pending);
    }
    for (campaign_id, claims) in of_campaign {
        if let Err(error) = admission.confirm(campaign_id, &claims).await {
            tracing::debug!(%campaign_id, %error, "claims were not confirmed; the sweeper does it");
        }
    }
}
