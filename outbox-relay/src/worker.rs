//! A worker: rounds over its buckets while there are rows, and waiting for a sign that
//! there are some.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use headgate_runtime::shutdown::{CancellationToken, stopped_within};
use tokio::sync::Notify;

use crate::Error;
use crate::ownership::{HeldBucket, InUse, Ownership};
use crate::publisher::{Publisher, Round};

/// Pause after the first round that got nowhere; it doubles.
const PAUSE_SHORTEST: Duration = Duration::from_millis(50);
/// Longest pause after a round that got nowhere.
const PAUSE_LONGEST: Duration = Duration::from_secs(1);

/// Longest sleep of a worker that is not told anything. The lookout looks for it; this
/// is for the case that it is wrong.
const SLEEP_LONGEST: Duration = Duration::from_mins(1);

/// How a worker is told that there are rows.
#[derive(Debug, Default)]
pub(crate) struct Bell {
    rung: Notify,
    waiting: AtomicBool,
}

impl Bell {
    /// There are, or may be, rows. Heard at the latest when the worker next waits.
    pub(crate) fn ring(&self) {
        self.rung.notify_one();
    }

    /// Whether the worker waits. One that does not will look for rows by itself.
    pub(crate) fn is_waited_for(&self) -> bool {
        self.waiting.load(Ordering::SeqCst)
    }

    async fn wait(&self) {
        self.waiting.store(true, Ordering::SeqCst);
        let _rung = tokio::time::timeout(SLEEP_LONGEST, self.rung.notified()).await;
        self.waiting.store(false, Ordering::SeqCst);
    }
}

/// One worker.
pub(crate) struct Worker {
    pub(crate) number: u16,
    pub(crate) publisher: Publisher,
    pub(crate) ownership: Arc<Ownership>,
    pub(crate) bell: Arc<Bell>,
    /// A round that read fewer rows was not full.
    pub(crate) full: usize,
    /// Least time between the beginnings of two rounds that are not full.
    pub(crate) round_every: Duration,
}

/// What a worker does after a round.
enum Next {
    /// Another round at once.
    GoOn,
    /// Another round, in which those rows ride that come meanwhile: under load few
    /// transactions move many rows, and who comes to an idle relay does not wait.
    Pace,
    /// Nothing, until it is told that there are rows.
    Wait,
    /// Nothing for so long, whatever it is told: it would not get any further.
    Pause(Duration),
}

impl Worker {
    /// Works until stopped; the round in hand is finished.
    pub(crate) async fn work(mut self, stop: CancellationToken) {
        let mut failures = 0;
        while !stop.is_cancelled() {
            let begun = Instant::now();
            let next = self.round(&mut failures).await;
            self.ownership.round_ended();
            match next {
                Next::GoOn => {}
                Next::Pace => {
                    stopped_within(&stop, self.round_every.saturating_sub(begun.elapsed())).await;
                }
                Next::Wait => tokio::select! {
                    () = stop.cancelled() => {}
                    () = self.bell.wait() => {}
                },
                Next::Pause(pause) => {
                    stopped_within(&stop, pause).await;
                }
            }
        }
    }

    async fn round(&mut self, failures: &mut u32) -> Next {
        let in_use: Vec<InUse> = self.ownership.of_worker(self.number);
        let held: Vec<HeldBucket> = in_use.iter().map(|(held, _)| held.clone()).collect();
        if held.is_empty() {
            return Next::Wait;
        }
        match self.publisher.step(&held).await {
            Ok(round) => self.after(&round, &held, failures),
            Err(error) => {
                *failures += 1;
                Self::report(&error, *failures);
                Next::Pause(pause(*failures))
            }
        }
    }

    fn after(&self, round: &Round, held: &[HeldBucket], failures: &mut u32) -> Next {
        for bucket in &round.lost {
            tracing::warn!(bucket = bucket.get(), "a bucket was lost to another relay");
            self.ownership.lost(*bucket);
        }
        if round.stalled {
            self.ownership.shun(held.iter().map(|held| held.bucket));
        }
        if round.published > 0 || round.blocked > 0 {
            *failures = 0;
            if round.read < self.full {
                Next::Pace
            } else {
                Next::GoOn
            }
        } else if round.read > 0 {
            // Rows that rest, or a broker that is away.
            *failures += 1;
            Next::Pause(pause(*failures))
        } else {
            *failures = 0;
            Next::Wait
        }
    }

    fn report(error: &Error, failures: u32) {
        metrics::counter!("headgate_relay_rounds_failed_total").increment(1);
        // Once when it begins: the metric says how long it lasts.
        if failures == 1 {
            tracing::warn!(
                error = error as &dyn std::error::Error,
                "a round failed and will be repeated"
            );
        }
    }
}

fn pause(failures: u32) -> Duration {
    let doubled = 1_u32.checked_shl(failures - 1).unwrap_or(u32::MAX);
    PAUSE_SHORTEST.saturating_mul(doubled).min(PAUSE_LONGEST)
}
