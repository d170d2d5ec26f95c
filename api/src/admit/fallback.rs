//! Admission through MySQL while Redis is gone.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use headgate_domain::campaigns::Campaign;
use headgate_domain::claims::fallback::{self, Answer, Outcome, Request};
use headgate_runtime::mysql::{self, Fault, fault};
use sqlx::Connection;

use super::{Asked, ClaimAnswer, Shared, claim_of, turn_away};

/// How often a batch that met a claim reserved in Redis earlier, or a deadlock, is
/// tried again.
const ATTEMPTS: u32 = 5;
/// Shortest wait for a campaign that hands out nothing yet.
const REST_LOOK_EVERY: Duration = Duration::from_millis(5);

/// Admits a batch; every request in it gets its answer.
pub(super) async fn admit(shared: &Shared, campaign: &Arc<Campaign>, batch: Vec<Asked>) {
    // Two requests of one user: the second hears of the first when it asks again.
    let mut users = HashSet::new();
    let (batch, twins): (Vec<Asked>, Vec<Asked>) = batch
        .into_iter()
        .partition(|asked| users.insert(asked.user_id.clone()));
    turn_away(twins);
    let requests: Vec<Request> = batch
        .iter()
        .map(|asked| Request {
            claim_id: asked.claim_id,
            user_id: asked.user_id.clone(),
            traceparent: asked.traceparent.clone(),
        })
        .collect();
    let Some(outcomes) = outcomes(shared, campaign, &requests).await else {
        turn_away(batch);
        return;
    };
    shared.waker.wake();
    for (asked, outcome) in batch.into_iter().zip(outcomes) {
        let answer = match outcome {
            Outcome::Admitted(reservation) => {
                ClaimAnswer::Admitted(Box::new(claim_of(&reservation, campaign)))
            }
            Outcome::AlreadyClaimed(claim) if claim.claim_id == asked.claim_id => {
                ClaimAnswer::Admitted(claim)
            }
            Outcome::AlreadyClaimed(claim) => ClaimAnswer::AlreadyClaimed(claim),
            // Reservations made in Redis may still be under way.
            Outcome::SoldOut => ClaimAnswer::SoldOut { is_final: false },
            Outcome::Closed => ClaimAnswer::Closed,
        };
        asked.answer(answer);
    }
}

async fn outcomes(shared: &Shared, campaign: &Campaign, requests: &[Request]) -> Option<Vec<Outcome>> {
    let deadline = Instant::now() + shared.limits.timeout;
    let mut failed = 0;
    while failed < ATTEMPTS {
        let limit = shared.limits.commit_timeout;
        let attempt = mysql::within(&shared.pool, limit, async |connection| {
            transact(shared, connection, campaign, requests).await
        });
        match attempt.await {
            Ok(Answer::Outcomes(outcomes)) => return Some(outcomes),
            Ok(Answer::Resting(left)) if Instant::now() + left < deadline => {
                tokio::time::sleep(left.max(REST_LOOK_EVERY)).await;
            }
            Ok(Answer::Resting(_)) => return None,
            Err(error) => {
                failed += 1;
                if !matches!(
                    error.database().map(fault),
                    Some(Fault::Duplicate | Fault::Contention)
                ) {
                    tracing::warn!(error = &error as &dyn std::error::Error, "mysql cannot admit");
                    return None;
                }
            }
        }
    }
    None
}

async fn transact(
    shared: &Shared,
    connection: &mut sqlx::MySqlConnection,
    campaign: &Campaign,
    requests: &[Request],
) -> Result<Answer, headgate_domain::Error> {
    let asked = fallback::Campaign {
        campaign_no: campaign.campaign_no,
        campaign_id: campaign.campaign_id,
        partner_id: campaign.partner_id,
    };
    let mut transaction = connection.begin().await?;
    match fallback::admit(
        &mut transaction,
        &shared.writer,
        asked,
        requests,
        shared.admission.settings().rest(),
        shared.clock.now(),
    )
    .await
    {
        Ok(answer) => {
            transaction.commit().await?;
            Ok(answer)
        }
        Err(error) => {
            if let Err(rollback) = transaction.rollback().await {
                tracing::debug!(error = %rollback, "the rollback failed; the connection is lost");
            }
            Err(error)
        }
    }
}
