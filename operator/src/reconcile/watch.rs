//! The continuous reconciliation behind the metric `headgate_reconcile_difference`.

use std::collections::BTreeMap;

use headgate_runtime::shutdown::{CancellationToken, stopped_within};

use super::{count, pipe, store};
use crate::Error;
use crate::state::Servers;

/// Most campaigns that are watched, the newest first.
const CAMPAIGNS_MAX: u32 = 100;

/// Reconciles the running campaigns again and again until stopped. The metric must be 0;
/// when it cannot be measured it keeps its last value, and `..._failures_total` grows.
pub async fn watch(servers: Servers, stop: CancellationToken) {
    let every = servers.config.reconcile.every;
    if every.is_zero() {
        return;
    }
    while !stopped_within(&stop, every).await {
        let round = tokio::select! {
            () = stop.cancelled() => return,
            round = reconcile_running(&servers) => round,
        };
        match round {
            Ok(differences) => report(&differences),
            Err(error) => {
                metrics::counter!("headgate_reconcile_failures_total").increment(1);
                tracing::warn!(%error, "the campaigns could not be reconciled");
            }
        }
    }
}

async fn reconcile_running(servers: &Servers) -> Result<BTreeMap<String, u32>, Error> {
    let campaigns = store::running(&servers.pool, CAMPAIGNS_MAX).await?;
    let pipe = pipe::look(servers).await?;
    let mut differences = BTreeMap::new();
    for campaign in campaigns {
        let reconciled = count(servers, campaign, pipe).await?;
        for difference in reconciled.differences {
            tracing::error!(
                campaign_id = %reconciled.campaign_id,
                kind = difference.kind,
                expected = difference.expected,
                found = difference.found,
                "a campaign does not add up"
            );
            *differences.entry(difference.kind).or_default() += 1;
        }
    }
    Ok(differences)
}

/// One sample without labels for the alert; the log says which campaign and what.
fn report(differences: &BTreeMap<String, u32>) {
    let all: u32 = differences.values().sum();
    metrics::gauge!("headgate_reconcile_difference").set(all);
}
