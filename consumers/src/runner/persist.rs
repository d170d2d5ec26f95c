//! From a batch to committed rows, whatever fails meanwhile. Every attempt is a new
//! transaction. What is broken around the data is waited for and never makes a dead
//! letter; what lies in the data is halved until the one event is alone.

use std::time::Instant;

use chrono::{DateTime, Utc};
use headgate_dead_letters::Disposition;
use headgate_dead_letters::bury::error_text;
use headgate_runtime::shutdown::CancellationToken;

use super::batch::Done;
use super::failure::{Cause, Failure, Kind};
use super::item::{Item, Verdict};
use super::patience::{Patience, Stopped};
use super::worker::{Wait, Worker};
use crate::measure;

/// Attempts at once after a deadlock, before the worker waits between them.
const CONTENTION_ATTEMPTS_MAX: u32 = 5;
/// Class of an event that failed for a reason of its own.
const APPLY_FAILED: &str = "apply-failed";
/// Class of an event that the group asked more time for, too often.
const NOT_YET: &str = "not-yet";

/// What became of a piece of a batch.
enum Piece {
    Settled,
    /// One of its events fails the others: halve it.
    Halve,
}

impl Worker {
    /// Settles a batch, all of it.
    pub(crate) async fn persist(&self, items: &[Item]) -> Result<(), Stopped> {
        if items.is_empty() {
            return Ok(());
        }
        metrics::histogram!("headgate_consumer_batch_records", "group" => self.group_name())
            .record(measure::count(items.len()));
        // The next piece is the last of the list: pieces are settled in order.
        let mut pieces = vec![items];
        while let Some(piece) = pieces.pop() {
            if matches!(self.settle(piece).await?, Piece::Halve) {
                let (first, second) = piece.split_at(piece.len() / 2);
                pieces.extend([second, first]);
            }
        }
        Ok(())
    }

    async fn settle(&self, piece: &[Item]) -> Result<Piece, Stopped> {
        let mut wait = Wait::new(self);
        let mut contentions = 0;
        let mut failed: Option<Failed> = None;
        loop {
            let failure = match self.attempt(piece).await {
                Ok(done) => {
                    wait.over();
                    self.after_commit(piece, done);
                    return Ok(Piece::Settled);
                }
                Err(failure) => failure,
            };
            match failure.kind {
                Kind::Contention if contentions < CONTENTION_ATTEMPTS_MAX => {
                    metrics::counter!("headgate_mysql_deadlocks_total").increment(1);
                    contentions += 1;
                }
                Kind::Contention | Kind::Systemic => wait.out(&failure).await?,
                Kind::Data => {
                    wait.over();
                    let [item] = piece else { return Ok(Piece::Halve) };
                    let failed = failed.get_or_insert_with(|| Failed::new(self));
                    if failed.again(&self.stop).await? == Again::Enough {
                        self.exhaust(item, failed, &failure.cause).await?;
                        return Ok(Piece::Settled);
                    }
                }
            }
        }
    }

    async fn attempt(&self, piece: &[Item]) -> Result<Done, Failure> {
        let begun = Instant::now();
        let attempt = self.tools.batches.settle(&self.source, piece);
        let outcome = self.in_time(attempt).await;
        metrics::histogram!("headgate_consumer_batch_seconds", "group" => self.group_name())
            .record(begun.elapsed().as_secs_f64());
        outcome
    }

    /// Bounds an attempt. What became of one that took too long is not known; the next
    /// one learns it from the inbox.
    pub(crate) async fn in_time<T>(
        &self,
        attempt: impl Future<Output = Result<T, Failure>>,
    ) -> Result<T, Failure> {
        let limit = self.tools.settings.transaction_timeout;
        tokio::time::timeout(limit, attempt).await.unwrap_or_else(|_| {
            Err(Cause::TooSlow {
                seconds: limit.as_secs(),
            }
            .into())
        })
    }

    /// Sets aside an event that failed every time. Should even that fail, the partition
    /// waits: an event is never dropped.
    async fn exhaust(&self, item: &Item, failed: &Failed, cause: &Cause) -> Result<(), Stopped> {
        let verdict = Verdict {
            disposition: Disposition::Exhausted,
            class: class(cause),
            error: error_text(cause),
            attempts: failed.attempts,
            first_failed_at: failed.first_at,
        };
        let mut wait = Wait::new(self);
        loop {
            let burying = self.tools.batches.exhaust(&self.source, item, verdict.clone());
            match self.in_time(burying).await {
                Ok(done) => {
                    wait.over();
                    self.after_commit(std::slice::from_ref(item), done);
                    return Ok(());
                }
                Err(failure) => wait.out(&failure).await?,
            }
        }
    }
}

/// The failures of one event that is tried alone.
pub(crate) struct Failed {
    attempts: u32,
    attempts_max: u32,
    first_at: DateTime<Utc>,
    patience: Patience,
}

/// Whether an event is tried again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Again {
    /// After a pause, which is over.
    Try,
    /// It failed as often as it may.
    Enough,
}

impl Failed {
    pub(crate) fn new(worker: &Worker) -> Self {
        let settings = &worker.tools.settings;
        Self {
            attempts: 0,
            attempts_max: settings.attempts_max,
            first_at: worker.tools.batches.clock.now(),
            patience: Patience::new(settings.pauses),
        }
    }

    /// It failed once more.
    pub(crate) async fn again(&mut self, stop: &CancellationToken) -> Result<Again, Stopped> {
        self.attempts += 1;
        if self.attempts >= self.attempts_max {
            return Ok(Again::Enough);
        }
        self.patience.wait(stop).await?;
        Ok(Again::Try)
    }
}

/// The class of a dead letter for an event that `cause` exhausted.
pub(crate) const fn class(cause: &Cause) -> &'static str {
    match cause {
        Cause::NotYet => NOT_YET,
        _ => APPLY_FAILED,
    }
}
