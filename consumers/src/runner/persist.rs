//! From a batch to committed rows, whatever fails meanwhile. Every attempt is a new
//! transaction. What is broken around the data is waited for and never makes a dead
//! letter; what lies in the data is halved until the one event is alone.

use std::time::Instant;

use chrono::{DateTime, Utc};
use headgate_dead_letters::Disposition;
use headgate_runtime::error_text;
use headgate_runtime::shutdown::CancellationToken;

use super::batch::Done;
use super::failure::{Cause, Failure, Kind};
use super::item::{Item, Verdict};
use super::patience::{Patience, Stopped};
use super::pieces::{Piece, Pieces};
use super::release::KeyQueue;
use super::worker::{Wait, Worker};
use crate::measure;

/// Attempts at once after a deadlock, before the worker waits between them.
const CONTENTION_ATTEMPTS_MAX: u32 = 5;
/// Class of an event that failed for a reason of its own.
const APPLY_FAILED: &str = "apply-failed";
/// Class of an event that the group asked more time for, too often.
const NOT_YET: &str = "not-yet";

/// What is settled: how a piece is attempted, and how one event of it is set aside.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Work<'w> {
    /// Records as they arrive.
    Arriving,
    /// Letters that were parked under a key, whose turn has come.
    Parked(&'w KeyQueue),
}

impl Worker {
    /// Settles a batch, all of it.
    pub(crate) async fn persist(&self, items: &[Item]) -> Result<(), Stopped> {
        self.settle_all(items, Work::Arriving).await
    }

    /// Settles `items` in order, in as few transactions as they allow.
    pub(crate) async fn settle_all(&self, items: &[Item], work: Work<'_>) -> Result<(), Stopped> {
        if items.is_empty() {
            return Ok(());
        }
        metrics::histogram!("headgate_consumer_batch_records", "group" => self.group_name())
            .record(measure::count(items.len()));
        let mut pieces = Pieces::of(items);
        while let Some(piece) = pieces.next() {
            pieces.note(piece, self.settle(piece, work).await?);
        }
        Ok(())
    }

    async fn settle(&self, piece: &[Item], work: Work<'_>) -> Result<Piece, Stopped> {
        let mut wait = Wait::new(self);
        let mut contentions = 0;
        let mut failed: Option<Failed> = None;
        loop {
            let failure = match self.attempt(piece, work).await {
                Ok(done) => {
                    wait.over();
                    self.after_commit(arrived(piece, work), done);
                    return Ok(Piece::Settled);
                }
                Err(failure) => failure,
            };
            match failure.kind {
                Kind::Contention if contentions < CONTENTION_ATTEMPTS_MAX => {
                    metrics::counter!("headgate_mysql_deadlocks_total").increment(1);
                    contentions += 1;
                }
                // What stands before the one that finds no room need not wait with it.
                Kind::Full if piece.len() > 1 => {
                    wait.over();
                    return Ok(Piece::Halve);
                }
                Kind::Contention | Kind::Systemic | Kind::Full => wait.out(&failure).await?,
                Kind::Data => {
                    wait.over();
                    let [item] = piece else { return Ok(Piece::Halve) };
                    let failed = failed.get_or_insert_with(|| Failed::new(self));
                    if failed.again(&self.stop).await? == Again::Enough {
                        self.exhaust(item, work, failed, &failure.cause).await?;
                        return Ok(Piece::Settled);
                    }
                }
            }
        }
    }

    async fn attempt(&self, piece: &[Item], work: Work<'_>) -> Result<Done, Failure> {
        let begun = Instant::now();
        let batches = &self.tools.batches;
        let outcome = match work {
            Work::Arriving => self.in_time(batches.settle(&self.source, piece)).await,
            Work::Parked(queue) => self.in_time(batches.release(queue, piece)).await,
        };
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

    /// Tries what is no reason to set anything aside until it works, each time in time.
    pub(crate) async fn until_possible<T, F>(&self, attempt: impl Fn() -> F) -> Result<T, Stopped>
    where
        F: Future<Output = Result<T, Failure>>,
    {
        let mut wait = Wait::new(self);
        loop {
            match self.in_time(attempt()).await {
                Ok(outcome) => {
                    wait.over();
                    return Ok(outcome);
                }
                Err(failure) => wait.out(&failure).await?,
            }
        }
    }

    /// Sets aside an event that failed every time. Should even that fail, the partition
    /// waits: an event is never dropped.
    async fn exhaust(
        &self,
        item: &Item,
        work: Work<'_>,
        failed: &Failed,
        cause: &Cause,
    ) -> Result<(), Stopped> {
        let verdict = Verdict {
            disposition: Disposition::Exhausted,
            class: class(cause),
            error: error_text(cause),
            attempts: failed.attempts,
            first_failed_at: failed.first_at,
        };
        let batches = &self.tools.batches;
        let done = match work {
            Work::Arriving => {
                self.until_possible(|| batches.exhaust(&self.source, item, verdict.clone()))
                    .await?
            }
            Work::Parked(queue) => {
                self.until_possible(|| batches.set_head(queue, item, &verdict))
                    .await?
            }
        };
        self.after_commit(arrived(std::slice::from_ref(item), work), done);
        Ok(())
    }
}

/// The records whose offsets are settled with a piece: a letter's record was settled when
/// it was parked.
const fn arrived<'i>(piece: &'i [Item], work: Work<'_>) -> &'i [Item] {
    match work {
        Work::Arriving => piece,
        Work::Parked(_) => &[],
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
