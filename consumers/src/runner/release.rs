//! Release: what was parked behind a letter goes, in order, once the letter is settled. A
//! letter that fails when its turn comes is the new head, and the rest waits behind it.

use headgate_dead_letters::attempt::{self, Failure as Refusal, Origin};
use headgate_dead_letters::park::{self, AsRead, Failed, HeldKey, Parked};
use headgate_groups::decode::Content;
use headgate_groups::{Event, Intent};
use headgate_outbox::inbox;
use headgate_runtime::crash_point;
use headgate_schemas::ids::{DeadLetterId, EventId};
use sqlx::{MySql, Transaction};

use super::batch::{Batches, Done, rejected, roll_back, unreadable};
use super::failure::{Cause, Failure};
use super::item::{Item, Verdict};
use super::patience::Stopped;
use super::persist::Work;
use super::queue::Limits;
use super::record::Record;
use super::worker::Worker;

/// The queue of a key.
#[derive(Debug)]
pub(crate) struct KeyQueue {
    origin: Origin,
    key: HeldKey,
}

impl Worker {
    /// Applies what is parked under the key of a letter, in order, until nothing is or one
    /// fails. Whoever is asked again finds nothing left to do.
    pub(crate) async fn release(&self, letter_id: DeadLetterId, key: Option<HeldKey>) -> Result<(), Stopped> {
        let Some(key) = key else { return Ok(()) };
        while let Some((queue, letters)) = self.until_possible(|| self.releasable(letter_id, key)).await? {
            let items = self.read_parked(&queue, letters).await?;
            self.settle_all(&items, Work::Parked(&queue)).await?;
        }
        Ok(())
    }

    /// The letters whose turn it is, if there are any.
    async fn releasable(
        &self,
        letter_id: DeadLetterId,
        key: HeldKey,
    ) -> Result<Option<(KeyQueue, Vec<Parked>)>, Failure> {
        let batches = &self.tools.batches;
        let Some(origin) = attempt::origin(&batches.pool, letter_id).await? else {
            return Ok(None);
        };
        if origin.group != batches.group_no {
            return Ok(None);
        }
        let Limits {
            records_max,
            bytes_max,
        } = self.tools.settings.batch;
        let letters = park::releasable(&batches.pool, origin.home(), key, records_max, bytes_max).await?;
        Ok((!letters.is_empty()).then_some((KeyQueue { origin, key }, letters)))
    }

    async fn read_parked(&self, queue: &KeyQueue, letters: Vec<Parked>) -> Result<Vec<Item>, Stopped> {
        let mut items = Vec::with_capacity(letters.len());
        for letter in letters {
            let (read, event_id) = (letter.read, letter.event_id);
            let record = Record::of_letter(letter);
            let content = self.content(event_id, &record).await?;
            items.push(Item {
                event_id,
                letter: Some(read),
                home: queue.origin.partition,
                content: content.unwrap_or_else(Content::not_for_group),
                record,
            });
        }
        Ok(items)
    }
}

/// What one transaction came to.
enum Outcome {
    Done(Done),
    /// The first letter failed, and nothing was changed.
    Failed(Verdict),
}

impl Batches {
    /// Applies letters whose turn has come, as far as the queue still begins with them. One
    /// that fails alone is the new head.
    pub(crate) async fn release(&self, queue: &KeyQueue, items: &[Item]) -> Result<Done, Failure> {
        let mut transaction = self.pool.begin().await?;
        match self.fill_released(&mut transaction, queue, items).await {
            Ok(Outcome::Done(done)) => {
                crash_point!("consumer.release-before-commit");
                transaction.commit().await?;
                Ok(done)
            }
            Ok(Outcome::Failed(verdict)) => {
                roll_back(transaction).await;
                self.set_head(queue, &items[0], &verdict).await
            }
            Err(failure) => {
                roll_back(transaction).await;
                Err(failure)
            }
        }
    }

    async fn fill_released(
        &self,
        transaction: &mut Transaction<'_, MySql>,
        queue: &KeyQueue,
        items: &[Item],
    ) -> Result<Outcome, Failure> {
        let context = self.context.at(self.clock.now());
        let taken = self.take_first(transaction, queue, items).await?;
        let Some(first) = taken.first() else {
            return Ok(Outcome::Done(Done::default()));
        };
        if let Some(verdict) = unreadable(&context, first) {
            return Ok(Outcome::Failed(verdict));
        }
        // One that cannot be read ends the piece.
        let events: Vec<&Event> = taken.iter().map_while(Item::event).collect();
        let letters: Vec<(DeadLetterId, EventId)> =
            taken[..events.len()].iter().filter_map(Item::parked).collect();
        if !park::resolve(transaction, self.group_no, self.group.name(), &letters).await? {
            return Err(Cause::InboxDisagrees.into());
        }
        let applied = self.group.apply(transaction, &context, &events).await?;
        for intent in applied.intents {
            match intent {
                Intent::Done => {}
                Intent::RetryAfter(_) => return Err(Cause::NotYet.into()),
                // What was applied behind it must not be: one by one they find out which.
                Intent::Reject { .. } if events.len() > 1 => return Err(Cause::Overtaken.into()),
                Intent::Reject { class, reason } => {
                    return Ok(Outcome::Failed(rejected(&context, class, reason)));
                }
            }
        }
        Ok(Outcome::Done(Done {
            applied: events.len(),
            after_commit: applied.after_commit,
            superseded: applied.superseded,
            began_at: events.iter().filter_map(|event| event.began_at()).collect(),
            ..Done::default()
        }))
    }

    /// Locks the partition, then those of `items` that the queue still begins with.
    async fn take_first<'i>(
        &self,
        transaction: &mut Transaction<'_, MySql>,
        queue: &KeyQueue,
        items: &'i [Item],
    ) -> Result<&'i [Item], Failure> {
        let home = queue.origin.home();
        inbox::lock_partition(transaction, home.group, home.topic, home.partition).await?;
        let letters: Vec<AsRead> = items.iter().filter_map(|item| item.letter).collect();
        let taken = park::take(transaction, home, queue.key, &letters).await?;
        Ok(&items[..taken])
    }

    /// Makes the first letter of a queue its head: it failed when its turn came.
    pub(crate) async fn set_head(
        &self,
        queue: &KeyQueue,
        item: &Item,
        verdict: &Verdict,
    ) -> Result<Done, Failure> {
        let mut transaction = self.pool.begin().await?;
        let set = async {
            let taken = self
                .take_first(&mut transaction, queue, std::slice::from_ref(item))
                .await?;
            let Some(letter) = taken.first().and_then(Item::parked) else {
                return Ok(Done::default());
            };
            let failure = Failed {
                attempts: verdict.attempts,
                first_failed_at: verdict.first_failed_at,
                failure: Refusal {
                    disposition: verdict.disposition,
                    class: verdict.class,
                    error: &verdict.error,
                },
            };
            park::head(
                &mut transaction,
                self.group_no,
                self.group.name(),
                letter,
                failure,
            )
            .await?;
            Ok(Done {
                dead: 1,
                ..Done::default()
            })
        }
        .await;
        match set {
            Ok(done) => {
                transaction.commit().await?;
                Ok(done)
            }
            Err(failure) => {
                roll_back(transaction).await;
                Err(failure)
            }
        }
    }
}
