//! The continuous reconciliation behind the metric `headgate_reconcile_difference`.

use std::collections::BTreeMap;
use std::time::Duration;

use headgate_runtime::shutdown::{CancellationToken, stopped_within};

use super::pipe::Watched;
use super::points::WatchedPoints;
use super::{count, look, store};
use crate::Error;
use crate::state::Servers;

/// Most campaigns that are watched, the newest first.
const CAMPAIGNS_MAX: u32 = 100;
/// Longest time for one round, of either kind.
const ROUND_TIMEOUT: Duration = Duration::from_mins(2);

/// Reconciles the running campaigns, the pipe and wallets again and again until stopped. The metric
/// must be 0; what cannot be measured keeps its last part in it, and `..._failures_total` grows.
pub async fn watch(servers: Servers, stop: CancellationToken) {
    let every = servers.config.reconcile.every;
    if every.is_zero() {
        return;
    }
    let mut watch = Watch {
        servers,
        campaigns: None,
        lost: 0,
        pipe: Watched::default(),
        points: WatchedPoints::default(),
    };
    while !stopped_within(&stop, every).await {
        tokio::select! {
            () = stop.cancelled() => return,
            () = watch.round() => {}
        }
    }
}

struct Watch {
    servers: Servers,
    /// Differences of campaigns; `None`: not measured yet.
    campaigns: Option<u32>,
    /// Differences of the pipe that are known.
    lost: usize,
    pipe: Watched,
    points: WatchedPoints,
}

impl Watch {
    async fn round(&mut self) {
        if let Some(differences) = within("campaigns", reconcile_running(&self.servers)).await {
            self.campaigns = Some(differences.values().sum());
            self.report();
        }
        if let Some(lost) = within("the pipe", self.pipe.round(&self.servers)).await {
            self.lost = self.pipe.known();
            metrics::gauge!("headgate_reconcile_pipe_watched").set(u8::from(lost.is_some()));
            self.report();
        }
        if within("points", self.points.round(&self.servers)).await.is_some() {
            self.report();
        }
    }

    /// One sample without labels for the alert; the log says what and where.
    fn report(&self) {
        let campaigns = f64::from(self.campaigns.unwrap_or_default());
        let lost = u32::try_from(self.lost + self.points.known()).unwrap_or(u32::MAX);
        metrics::gauge!("headgate_reconcile_difference").set(campaigns + f64::from(lost));
    }
}

/// What a round came to, unless it failed or took too long.
async fn within<T>(what: &str, round: impl Future<Output = Result<T, Error>>) -> Option<T> {
    let done = match tokio::time::timeout(ROUND_TIMEOUT, round).await {
        Ok(done) => done,
        Err(_) => Err(Error::Timeout(ROUND_TIMEOUT)),
    };
    match done {
        Ok(done) => Some(done),
        Err(error) => {
            metrics::counter!("headgate_reconcile_failures_total").increment(1);
            tracing::warn!(%error, what, "something could not be reconciled");
            None
        }
    }
}

async fn reconcile_running(servers: &Servers) -> Result<BTreeMap<String, u32>, Error> {
    let campaigns = store::running(&servers.pool, CAMPAIGNS_MAX).await?;
    let pipe = look::look(servers).await?;
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
