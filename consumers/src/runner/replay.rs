//! A dead letter that an operator sent again: applied once, if this attempt is the
//! letter's current one, and otherwise not at all.

use headgate_dead_letters::attempt::{self, Attempt, Origin};
use headgate_dead_letters::{Disposition, LetterState};
use headgate_groups::decode::Content;
use headgate_groups::{Applied, Context, Event, Intent};
use headgate_outbox::inbox;
use headgate_runtime::crash_point;
use headgate_runtime::error_text;
use headgate_schemas::ids::DeadLetterId;
use sqlx::{MySql, Transaction};

use super::batch::{Done, roll_back};
use super::failure::{Cause, Failure, Kind};
use super::patience::Stopped;
use super::persist::{Again, Failed, class};
use super::record::Record;
use super::worker::{Wait, Worker, registry_failure};

/// A failure that sends the letter back to its operator.
struct Refusal {
    disposition: Disposition,
    class: &'static str,
    error: String,
}

/// What one transaction came to.
enum Outcome {
    Applied(Applied),
    Refused(Refusal),
    /// The letter is not waiting for this attempt.
    Stale,
}

impl Worker {
    /// Settles one record that carries a dead letter, or asks to release what is behind one.
    pub(crate) async fn replay(&self, record: Record) -> Result<(), Stopped> {
        let marks = &record.marks;
        if let (Some(letter_id), None, true) = (marks.letter_id, marks.attempt, marks.release) {
            return self.release(letter_id, record.key.as_deref()).await;
        }
        let (Some(letter_id), Some(number)) = (record.marks.letter_id, record.marks.attempt) else {
            self.report(record.marks.letter_id, "unreadable");
            return Ok(());
        };
        let mut wait = Wait::new(self);
        let mut failed = Failed::new(self);
        loop {
            let failure = match self.try_replay(letter_id, number, &record).await {
                Ok(outcome) => {
                    wait.over();
                    self.report(Some(letter_id), outcome);
                    crash_point!("consumer.after-replay-before-release");
                    // Also when it was settled before: whoever settled it may have died here.
                    return self.release(letter_id, record.key.as_deref()).await;
                }
                Err(failure) => failure,
            };
            if failure.kind != Kind::Data {
                wait.out(&failure).await?;
                continue;
            }
            wait.over();
            if failed.again(&self.stop).await? == Again::Enough {
                self.give_back(letter_id, number, &failure.cause).await?;
                // Should somebody else have settled it meanwhile, and died.
                return self.release(letter_id, record.key.as_deref()).await;
            }
        }
    }

    async fn try_replay(
        &self,
        letter_id: DeadLetterId,
        number: u32,
        record: &Record,
    ) -> Result<&'static str, Failure> {
        let Some(origin) = attempt::origin(&self.tools.batches.pool, letter_id).await? else {
            return Ok("stale");
        };
        let content = self
            .tools
            .decoder
            .content(origin.event_id, record.readable())
            .await;
        let content = content.map_err(registry_failure)?;
        let outcome = match content.unwrap_or_else(Content::not_for_group) {
            Content::Event { event, span: _span } => {
                self.in_time(self.apply_letter(&origin, letter_id, number, &event))
                    .await?
            }
            Content::Poison { class, error } => Outcome::Refused(Refusal {
                disposition: Disposition::Poison,
                class,
                error,
            }),
        };
        match outcome {
            Outcome::Applied(applied) => {
                self.after_commit(
                    &[],
                    Done {
                        applied: 1,
                        settled: applied.settled,
                        superseded: applied.superseded,
                        ..Done::default()
                    },
                );
                Ok("resolved")
            }
            Outcome::Refused(refusal) => {
                self.in_time(self.refuse(&origin, letter_id, number, &refusal))
                    .await
            }
            Outcome::Stale => Ok("stale"),
        }
    }

    /// Applies the letter's event, which resolves the letter; all or nothing.
    async fn apply_letter(
        &self,
        origin: &Origin,
        letter_id: DeadLetterId,
        number: u32,
        event: &Event,
    ) -> Result<Outcome, Failure> {
        let batches = &self.tools.batches;
        let mut transaction = batches.pool.begin().await?;
        let outcome = async {
            let Some(taken) = self.take(&mut transaction, origin, letter_id, number).await? else {
                return Ok(Outcome::Stale);
            };
            if !attempt::resolve(&mut transaction, &taken, self.group_name()).await? {
                return Ok(Outcome::Stale);
            }
            let context: Context = batches.context.at(batches.clock.now());
            let mut applied = batches.group.apply(&mut transaction, &context, &[event]).await?;
            match applied.intents.pop() {
                Some(Intent::Done) => Ok(Outcome::Applied(applied)),
                Some(Intent::Reject { class, reason }) => Ok(Outcome::Refused(Refusal {
                    disposition: Disposition::Rejected,
                    class,
                    error: reason,
                })),
                Some(Intent::RetryAfter(_)) | None => Err(Failure::from(Cause::NotYet)),
            }
        }
        .await;
        if matches!(outcome, Ok(Outcome::Applied(_))) {
            transaction.commit().await?;
        } else {
            roll_back(transaction).await;
        }
        outcome
    }

    /// Locks the letter's partition, then the letter, if this is its current attempt.
    async fn take(
        &self,
        transaction: &mut Transaction<'_, MySql>,
        origin: &Origin,
        letter_id: DeadLetterId,
        number: u32,
    ) -> Result<Option<Attempt>, Failure> {
        inbox::lock_partition(transaction, origin.group, &origin.topic, origin.partition).await?;
        if origin.group != self.tools.batches.group_no {
            return Ok(None);
        }
        Ok(attempt::take(transaction, letter_id, number).await?)
    }

    /// Returns the letter to its operator, or quarantines it.
    async fn refuse(
        &self,
        origin: &Origin,
        letter_id: DeadLetterId,
        number: u32,
        refusal: &Refusal,
    ) -> Result<&'static str, Failure> {
        let mut transaction = self.tools.batches.pool.begin().await?;
        let refused = async {
            let Some(taken) = self.take(&mut transaction, origin, letter_id, number).await? else {
                return Ok(None);
            };
            let failure = attempt::Failure {
                disposition: refusal.disposition,
                class: refusal.class,
                error: &refusal.error,
            };
            let replays_max = self.tools.settings.replays_max;
            attempt::fail(&mut transaction, &taken, self.group_name(), failure, replays_max)
                .await
                .map(Some)
                .map_err(Failure::from)
        }
        .await;
        match refused {
            Ok(Some(state)) => {
                transaction.commit().await?;
                Ok(if state == LetterState::Quarantined {
                    "quarantined"
                } else {
                    "failed"
                })
            }
            Ok(None) => {
                roll_back(transaction).await;
                Ok("stale")
            }
            Err(failure) => {
                roll_back(transaction).await;
                Err(failure)
            }
        }
    }

    /// Returns a letter that failed every time it was tried in this replay.
    async fn give_back(&self, letter_id: DeadLetterId, number: u32, cause: &Cause) -> Result<(), Stopped> {
        let refusal = Refusal {
            disposition: Disposition::Exhausted,
            class: class(cause),
            error: error_text(cause),
        };
        let mut wait = Wait::new(self);
        loop {
            let refusing = async {
                match attempt::origin(&self.tools.batches.pool, letter_id).await? {
                    Some(origin) => self.refuse(&origin, letter_id, number, &refusal).await,
                    None => Ok("stale"),
                }
            };
            match self.in_time(refusing).await {
                Ok(outcome) => {
                    wait.over();
                    self.report(Some(letter_id), outcome);
                    return Ok(());
                }
                Err(failure) => wait.out(&failure).await?,
            }
        }
    }

    fn report(&self, letter_id: Option<DeadLetterId>, outcome: &'static str) {
        let group = self.group_name();
        metrics::counter!("headgate_replays_total", "group" => group, "outcome" => outcome).increment(1);
        tracing::info!(
            group,
            outcome,
            letter_id = letter_id.map(|id| id.to_string()),
            "a replay was settled"
        );
    }
}
