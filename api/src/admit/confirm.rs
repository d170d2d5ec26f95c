//! Telling Redis, behind the answer, which reservations have become claims. What is
//! not told is found by the sweeper.

use std::collections::HashMap;

use headgate_admission::Admission;
use headgate_admission::release::Pending;
use headgate_runtime::shutdown::{CancellationToken, TaskTracker};
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
    closing: CancellationToken,
    task: TaskTracker,
}

impl Confirmer {
    /// Starts the task; it ends with the last clone, or when it is drained.
    pub fn start(admission: Admission) -> Self {
        let (groups, waiting) = mpsc::channel(WAITING_GROUPS_MAX);
        let (closing, task) = (CancellationToken::new(), TaskTracker::new());
        task.spawn(run(admission, waiting, closing.clone()));
        task.close();
        Self {
            groups,
            closing,
            task,
        }
    }

    /// Waits until all that was passed on is told. Call when nothing more is passed on.
    pub async fn drain(&self) {
        self.closing.cancel();
        self.task.wait().await;
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

async fn run(
    admission: Admission,
    mut waiting: mpsc::Receiver<Vec<(CampaignId, Pending)>>,
    closing: CancellationToken,
) {
    let mut together = Vec::with_capacity(TOGETHER_MAX);
    loop {
        let taken = tokio::select! {
            taken = waiting.recv_many(&mut together, TOGETHER_MAX) => taken,
            () = closing.cancelled(), if !waiting.is_closed() => {
                waiting.close();
                continue;
            }
        };
        if taken == 0 {
            return;
        }
        confirm(&admission, together.drain(..).flatten()).await;
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
