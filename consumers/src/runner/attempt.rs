//! One attempt at replayed letters: a MySQL transaction that locks their partition, resolves
//! those whose attempt is current, and applies their events; or returns the one that cannot
//! be applied to its operator.

use std::collections::HashSet;

use headgate_dead_letters::attempt::{self, Attempt};
use headgate_dead_letters::{Disposition, LetterState};
use headgate_groups::decode::Content;
use headgate_groups::{Applied, Context, Event, Intent};
use headgate_outbox::inbox;
use headgate_runtime::crash_point;
use headgate_runtime::error_text;
use headgate_schemas::ids::DeadLetterId;
use sqlx::{MySql, Transaction};

use super::batch::{Done, roll_back};
use super::failure::{Cause, Failure};
use super::patience::Stopped;
use super::persist::class;
use super::replay::Sent;
use super::worker::Worker;

/// A letter, and what became of its replay.
type Outcome = (DeadLetterId, &'static str);

/// A failure that sends the letter back to its operator.
struct Refusal {
    disposition: Disposition,
    class: &'static str,
    error: String,
}

/// What one transaction came to.
enum Came {
    /// These letters' events were applied; the others are not waiting for their attempts.
    Applied(HashSet<DeadLetterId>, Applied),
    /// The only letter's event cannot be applied, and nothing was changed.
    Refused(Refusal),
}

impl Worker {
    /// Attempts letters in one transaction. After an error nothing was changed, or what became of
    /// it is not known: the next attempt finds out.
    pub(crate) async fn attempt_letters(&self, piece: &[Sent]) -> Result<Vec<Outcome>, Failure> {
        let came = match piece {
            [Sent { origin: None, .. }] => Came::Applied(HashSet::new(), Applied::default()),
            [
                Sent {
                    content: Content::Poison { class, error },
                    ..
                },
            ] => Came::Refused(Refusal {
                disposition: Disposition::Poison,
                class,
                error: error.clone(),
            }),
            _ => self.in_time(self.apply_letters(piece)).await?,
        };
        match came {
            Came::Applied(letters, applied) => {
                let done = Done {
                    applied: letters.len(),
                    after_commit: applied.after_commit,
                    superseded: applied.superseded,
                    ..Done::default()
                };
                self.after_commit(&[], done);
                let outcome = |sent: &Sent| {
                    let is_applied = letters.contains(&sent.letter_id);
                    (sent.letter_id, if is_applied { "resolved" } else { "stale" })
                };
                Ok(piece.iter().map(outcome).collect())
            }
            Came::Refused(refusal) => {
                let sent = &piece[0];
                let outcome = self.in_time(self.refuse(sent, &refusal)).await?;
                Ok(vec![(sent.letter_id, outcome)])
            }
        }
    }

    /// Applies the letters' events, which resolves the letters; all or nothing.
    async fn apply_letters(&self, piece: &[Sent]) -> Result<Came, Failure> {
        let mut transaction = self.tools.batches.pool.begin().await?;
        let came = self.fill_letters(&mut transaction, piece).await;
        if matches!(&came, Ok(Came::Applied(letters, _)) if !letters.is_empty()) {
            crash_point!("consumer.replay-before-commit");
            transaction.commit().await?;
        } else {
            roll_back(transaction).await;
        }
        came
    }

    async fn fill_letters(
        &self,
        transaction: &mut Transaction<'_, MySql>,
        piece: &[Sent],
    ) -> Result<Came, Failure> {
        let batches = &self.tools.batches;
        let nothing = || Came::Applied(HashSet::new(), Applied::default());
        let taken = self.take(transaction, piece).await?;
        if taken.is_empty() {
            return Ok(nothing());
        }
        if !attempt::resolve(transaction, batches.group_no, &taken, self.group_name()).await? {
            return match piece {
                [_] => Ok(nothing()),
                _ => Err(Cause::InboxDisagrees.into()),
            };
        }
        let letters: HashSet<DeadLetterId> = taken.iter().map(Attempt::letter_id).collect();
        let events: Vec<&Event> = piece
            .iter()
            .filter(|sent| letters.contains(&sent.letter_id))
            .filter_map(Sent::event)
            .collect();
        let context: Context = batches.context.at(batches.clock.now());
        let mut applied = batches.group.apply(transaction, &context, &events).await?;
        for intent in applied.intents.drain(..) {
            match intent {
                Intent::Done => {}
                Intent::RetryAfter(_) => return Err(Cause::NotYet.into()),
                Intent::Reject { .. } if piece.len() > 1 => return Err(Cause::OneRejected.into()),
                Intent::Reject { class, reason } => {
                    return Ok(Came::Refused(Refusal {
                        disposition: Disposition::Rejected,
                        class,
                        error: reason,
                    }));
                }
            }
        }
        Ok(Came::Applied(letters, applied))
    }

    /// Locks the letters' partition, then those of the letters whose attempt is the current one.
    async fn take(
        &self,
        transaction: &mut Transaction<'_, MySql>,
        piece: &[Sent],
    ) -> Result<Vec<Attempt>, Failure> {
        let Some(origin) = piece.first().and_then(|sent| sent.origin.as_ref()) else {
            return Ok(Vec::new());
        };
        let home = origin.home();
        inbox::lock_partition(transaction, home.group, home.topic, home.partition).await?;
        let attempts: Vec<(DeadLetterId, u32)> =
            piece.iter().map(|sent| (sent.letter_id, sent.number)).collect();
        Ok(attempt::take(transaction, &attempts).await?)
    }

    /// Returns the letter to its operator, or quarantines it.
    async fn refuse(&self, sent: &Sent, refusal: &Refusal) -> Result<&'static str, Failure> {
        let mut transaction = self.tools.batches.pool.begin().await?;
        let refused = async {
            let taken = self.take(&mut transaction, std::slice::from_ref(sent)).await?;
            let [taken] = &taken[..] else { return Ok(None) };
            let failure = attempt::Failure {
                disposition: refusal.disposition,
                class: refusal.class,
                error: &refusal.error,
            };
            let replays_max = self.tools.settings.replays_max;
            attempt::fail(&mut transaction, taken, self.group_name(), failure, replays_max)
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
    pub(crate) async fn give_back(&self, sent: &Sent, cause: &Cause) -> Result<(), Stopped> {
        let refusal = Refusal {
            disposition: Disposition::Exhausted,
            class: class(cause),
            error: error_text(cause),
        };
        let outcome = self.until_possible(|| self.refuse(sent, &refusal)).await?;
        self.report(Some(sent.letter_id), outcome);
        Ok(())
    }
}

impl Sent {
    fn event(&self) -> Option<&Event> {
        match &self.content {
            Content::Event { event, .. } => Some(event),
            Content::Poison { .. } => None,
        }
    }
}
