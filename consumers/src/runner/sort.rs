//! What of a batch may be applied, and what must wait because a dead letter holds its key.

use std::collections::{BTreeSet, HashMap, HashSet};

use headgate_dead_letters::Disposition;
use headgate_dead_letters::park::{self, HeldKey, Home};
use headgate_groups::Context;
use headgate_groups::decode::{Content, UNREADABLE_HEADERS};
use headgate_outbox::inbox::InboxState;
use headgate_schemas::ids::EventId;
use sqlx::{MySql, Transaction};

use super::batch::{Batches, ids};
use super::failure::{Cause, Failure};
use super::item::{Item, Source, Verdict};

/// The events of a batch that the group has not met.
#[derive(Debug, Default)]
pub(crate) struct Sorted<'i> {
    /// May be applied.
    pub events: Vec<&'i Item>,
    /// Cannot be read.
    pub poison: Vec<&'i Item>,
    /// Wait behind a dead letter of their key.
    pub parked: Vec<&'i Item>,
    /// Have their letter already, which the inbox forgot.
    pub known: Vec<(EventId, InboxState)>,
}

/// The keys that are held, and how many letters are parked under each.
type Queues = HashMap<HeldKey, u64>;

impl Batches {
    /// Sorts a batch whose partitions the transaction has locked.
    pub(crate) async fn sort<'i>(
        &self,
        transaction: &mut Transaction<'_, MySql>,
        source: &Source,
        fresh: &[&'i Item],
    ) -> Result<Sorted<'i>, Failure> {
        let mut queues = self.queues(transaction, source, fresh).await?;
        let mut sorted = Sorted::default();
        let fresh = self
            .set_known_poison_apart(transaction, fresh, &mut sorted)
            .await?;
        for item in fresh {
            let is_poison = is_poison(item);
            if queues.is_empty() && !is_poison {
                sorted.events.push(item);
                continue;
            }
            let key = item.held_key();
            if key.is_some_and(|key| queues.contains_key(&key)) {
                sorted.parked.push(item);
            } else if is_poison {
                queues.extend(key.map(|key| (key, 0)));
                sorted.poison.push(item);
            } else {
                sorted.events.push(item);
            }
        }
        if !sorted.parked.is_empty() {
            self.set_known_apart(transaction, &mut sorted).await?;
        }
        // What an operator feeds again is bounded by that, and behind it, on the same retry
        // topic, may be the replay that makes room.
        if !source.is_retry() {
            self.require_room(transaction, source, &sorted.parked, &mut queues)
                .await?;
        }
        Ok(sorted)
    }

    async fn queues(
        &self,
        transaction: &mut Transaction<'_, MySql>,
        source: &Source,
        fresh: &[&Item],
    ) -> Result<Queues, Failure> {
        let mut queues = Queues::new();
        for partition in partitions(fresh) {
            let keys = fresh
                .iter()
                .filter(|item| item.home == partition)
                .filter_map(|item| item.held_key());
            queues.extend(park::held(transaction, self.home(source, partition), keys).await?);
        }
        Ok(queues)
    }

    pub(crate) fn home<'s>(&self, source: &'s Source, partition: i32) -> Home<'s> {
        Home {
            group: self.group_no,
            topic: &source.public,
            partition,
        }
    }

    /// Poison that has its letter holds nothing but what that letter holds.
    async fn set_known_poison_apart<'i>(
        &self,
        transaction: &mut Transaction<'_, MySql>,
        fresh: &[&'i Item],
        sorted: &mut Sorted<'i>,
    ) -> Result<Vec<&'i Item>, Failure> {
        let poison: Vec<&Item> = fresh.iter().copied().filter(|item| is_poison(item)).collect();
        if poison.is_empty() {
            return Ok(fresh.to_vec());
        }
        let known = park::known(transaction, self.group_no, &ids(&poison)).await?;
        let unknown = fresh.iter().filter(|item| !known.contains_key(&item.event_id));
        let unknown = unknown.copied().collect();
        sorted.known.extend(known);
        Ok(unknown)
    }

    /// An event that has its letter keeps it, and is in the inbox what its letter says.
    async fn set_known_apart(
        &self,
        transaction: &mut Transaction<'_, MySql>,
        sorted: &mut Sorted<'_>,
    ) -> Result<(), Failure> {
        let known = park::known(transaction, self.group_no, &ids(&sorted.parked)).await?;
        sorted.parked.retain(|item| !known.contains_key(&item.event_id));
        sorted.known.extend(known);
        Ok(())
    }

    /// Parking is bounded: beyond the bounds the partition stands still rather than let an
    /// event overtake.
    async fn require_room(
        &self,
        transaction: &mut Transaction<'_, MySql>,
        source: &Source,
        parked: &[&Item],
        queues: &mut Queues,
    ) -> Result<(), Failure> {
        for key in parked.iter().filter_map(|item| item.held_key()) {
            let parked = queues.entry(key).or_default();
            *parked += 1;
            if *parked > self.bounds.per_key_max {
                return Err(Cause::ParkingFull.into());
            }
        }
        for partition in partitions(parked) {
            let more = parked.iter().filter(|item| item.home == partition).count() as u64;
            let home = self.home(source, partition);
            if more > park::room(transaction, home, self.bounds).await? {
                return Err(Cause::ParkingFull.into());
            }
        }
        Ok(())
    }
}

fn is_poison(item: &Item) -> bool {
    matches!(item.content, Content::Poison { .. })
}

fn partitions(items: &[&Item]) -> BTreeSet<i32> {
    items.iter().map(|item| item.home).collect()
}

/// Whether a later event of the batch was applied although one of its key was rejected.
pub(crate) fn overtaken(fresh: &[&Item], rejected: &[EventId]) -> bool {
    if rejected.is_empty() {
        return false;
    }
    let mut held: HashSet<&[u8]> = HashSet::new();
    fresh.iter().any(|item| {
        let key = item.record.key.as_deref();
        let overtakes = key.is_some_and(|key| held.contains(key));
        if rejected.contains(&item.event_id) {
            held.extend(key);
        }
        overtakes
    })
}

/// Why an event is parked. Of headers that were cut, nothing but the class remembers it.
pub(crate) fn waiting(context: &Context, item: &Item) -> Verdict {
    Verdict {
        disposition: Disposition::Parked,
        class: if item.record.marks.cut {
            UNREADABLE_HEADERS
        } else {
            park::CLASS
        },
        error: park::ERROR.to_owned(),
        attempts: 0,
        first_failed_at: context.now,
    }
}
