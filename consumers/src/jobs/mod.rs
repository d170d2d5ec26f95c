//! Background jobs. Several processes share them: each job has a lease in MySQL, and
//! whoever holds it runs the next round. Every round may be repeated or run twice
//! without harm; the lease saves work, it does not guard.

mod archived_letters;
mod audit;
mod campaign_clock;
mod expiry;
mod old_deliveries;
mod point_expiry;
mod point_expiry_notice;
mod retention;
mod sweeper;

use std::pin::pin;
use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};
use headgate_admission::Admission;
use headgate_domain::Change;
use headgate_outbox::wake::Waker;
use headgate_outbox::write::EventWriter;
use headgate_runtime::clock::DatabaseClock;
use headgate_runtime::error_text;
use headgate_runtime::lease;
use headgate_runtime::shutdown::{CancellationToken, stopped_within};
use headgate_schemas::ids::CampaignId;
use sqlx::MySqlPool;

use crate::config;
use crate::runner::Settled;

/// What jobs work with.
#[derive(Clone)]
pub(crate) struct Parts {
    pub pool: MySqlPool,
    pub admission: Admission,
    pub writer: EventWriter,
    pub clock: DatabaseClock,
    pub waker: Waker,
    pub retention: config::Retention,
    /// Tells whoever waits for a claim that it is settled.
    pub settled: Settled,
    pub settings: config::Jobs,
    /// Who holds the leases.
    pub holder: String,
}

impl Parts {
    /// A change of this moment, by nobody's request.
    const fn change(&self, now: DateTime<Utc>) -> Change<'_> {
        Change {
            writer: &self.writer,
            now,
            traceparent: None,
        }
    }
}

/// A round could not be finished. The next one tries again.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error("the change cannot be made")]
    Domain(#[from] headgate_domain::Error),
    #[error("the admission state of campaign {0} cannot be settled")]
    Admission(CampaignId, #[source] headgate_admission::Error),
    #[error("the partitions cannot be changed")]
    Outbox(#[from] headgate_outbox::Error),
    #[error("the dead letters cannot be read or settled")]
    Letters(#[from] headgate_dead_letters::Error),
    #[error("a group's terminal action cannot be run")]
    Group(#[from] headgate_groups::Error),
    #[error("the database cannot be reached")]
    Database(#[from] sqlx::Error),
}

/// What a round left behind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Round {
    /// Nothing that is due.
    Done,
    /// More that is due: the next round follows at once.
    More,
}

/// A background job.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Job {
    /// Settles reservations whose commit was never reported.
    Sweeper,
    /// Frees tickets that are in nobody's hands.
    Audit,
    /// Opens and ends campaigns.
    CampaignClock,
    /// Expires coupons.
    Expiry,
    /// Expires points.
    PointExpiry,
    /// Tells that points will expire soon.
    PointExpiryNotice,
    /// Makes and drops day partitions, discards letters that were archived for long, and
    /// removes old idempotency keys, replays and deliveries.
    Retention,
}

/// Longest round: it is given up and begun anew, here or elsewhere.
const ROUND_TIMEOUT: Duration = Duration::from_mins(2);

impl Job {
    pub(crate) const ALL: [Self; 7] = [
        Self::Sweeper,
        Self::Audit,
        Self::CampaignClock,
        Self::Expiry,
        Self::PointExpiry,
        Self::PointExpiryNotice,
        Self::Retention,
    ];

    const fn name(self) -> &'static str {
        match self {
            Self::Sweeper => "sweeper",
            Self::Audit => "audit",
            Self::CampaignClock => "campaign-clock",
            Self::Expiry => "expiry",
            Self::PointExpiry => "point-expiry",
            Self::PointExpiryNotice => "point-expiry-notice",
            Self::Retention => "retention",
        }
    }

    fn lease_name(self) -> String {
        format!("job-{}", self.name())
    }

    const fn pause(self, settings: &config::Jobs) -> Duration {
        match self {
            Self::Sweeper => settings.sweep_every,
            Self::Audit => settings.audit_every,
            Self::CampaignClock => settings.campaign_clock_every,
            Self::Expiry | Self::PointExpiry => settings.expire_every,
            Self::PointExpiryNotice => settings.notice_every,
            Self::Retention => settings.retain_every,
        }
    }

    async fn round(self, parts: &Parts) -> Result<Round, Error> {
        match self {
            Self::Sweeper => sweeper::round(parts).await,
            Self::Audit => audit::round(parts).await,
            Self::CampaignClock => campaign_clock::round(parts).await,
            Self::Expiry => expiry::round(parts).await,
            Self::PointExpiry => point_expiry::round(parts).await,
            Self::PointExpiryNotice => point_expiry_notice::round(parts).await,
            Self::Retention => retention::round(parts).await,
        }
    }

    /// Runs rounds while this process has the lease, until stopped. The round in hand may
    /// end then, within a limit; given up, it harms nothing.
    pub(crate) async fn run(self, parts: Parts, stop: CancellationToken) {
        loop {
            let mut round = pin!(self.leased_round(&parts));
            let left = tokio::select! {
                left = &mut round => left,
                () = stop.cancelled() => {
                    let _given_up = tokio::time::timeout(STOP_TIMEOUT, round).await;
                    break;
                }
            };
            let pause = match left {
                Some(Round::More) => Duration::ZERO,
                Some(Round::Done) => self.pause(&parts.settings),
                // Another process has the lease, or nobody can be asked.
                None => self.pause(&parts.settings).max(parts.settings.lease / 2),
            };
            if stopped_within(&stop, pause).await {
                break;
            }
        }
        self.give_back(&parts).await;
    }

    /// One round under the lease; `None` if another process has it or it failed.
    async fn leased_round(self, parts: &Parts) -> Option<Round> {
        let begun = Instant::now();
        let round = tokio::time::timeout(ROUND_TIMEOUT, async {
            let taken = lease::acquire(
                &parts.pool,
                &self.lease_name(),
                &parts.holder,
                parts.settings.lease,
            )
            .await?;
            if taken.is_none() {
                return Ok(None);
            }
            self.round(parts).await.map(Some)
        })
        .await;
        let (round, outcome) = match round {
            Ok(Ok(None)) => return None,
            Ok(Ok(round)) => (round, "done"),
            Ok(Err(error)) => {
                tracing::warn!(job = self.name(), error = error_text(&error), "a round failed");
                (None, "failed")
            }
            Err(_) => {
                tracing::warn!(
                    job = self.name(),
                    timeout_s = ROUND_TIMEOUT.as_secs(),
                    "a round took too long"
                );
                (None, "timeout")
            }
        };
        metrics::counter!("headgate_job_rounds_total", "job" => self.name(), "outcome" => outcome)
            .increment(1);
        metrics::histogram!("headgate_job_round_seconds", "job" => self.name())
            .record(begun.elapsed().as_secs_f64());
        round
    }

    /// Lets the next process go on at once.
    async fn give_back(self, parts: &Parts) {
        let releasing = async {
            let held = lease::acquire(
                &parts.pool,
                &self.lease_name(),
                &parts.holder,
                parts.settings.lease,
            )
            .await?;
            match held {
                Some(held) => lease::release(&parts.pool, &held).await,
                None => Ok(()),
            }
        };
        match tokio::time::timeout(GIVE_BACK_TIMEOUT, releasing).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::debug!(job = self.name(), %error, "the lease runs out by itself"),
            Err(_) => tracing::debug!(job = self.name(), "the lease runs out by itself"),
        }
    }
}

/// Longest wait for the round in hand when the process stops.
const STOP_TIMEOUT: Duration = Duration::from_secs(2);
/// Longest wait for giving a lease back.
const GIVE_BACK_TIMEOUT: Duration = Duration::from_secs(2);
