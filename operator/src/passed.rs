//! What has passed a group by: published events below its place in Kafka that are not in its
//! inbox. Read the places first, then the archive, then the inbox: a group commits its inbox
//! before its place, so what lies below a place that was read is in the inbox by then.

use std::collections::{HashMap, HashSet};

use chrono::NaiveDate;
use headgate_dead_letters::store::with_letters_elsewhere;
use headgate_groups::Group;
use headgate_outbox::inbox::{self, GroupNo, InboxState, event_day};
use headgate_schemas::ids::EventId;
use sqlx::{MySql, MySqlPool, Transaction};

use crate::Error;
use crate::lag::GroupLag;

/// Events that the inbox is asked for together. With many more MySQL judges by statistics, and
/// may read the whole day.
const EVENTS_AT_ONCE: usize = 128;

/// A group, and how far it has come.
#[derive(Debug)]
pub(crate) struct Place {
    pub group: Group,
    pub group_no: GroupNo,
    /// The offset below which it has no record to come, by topic and partition.
    next: HashMap<String, HashMap<i32, i64>>,
    /// What is older may have been settled, and forgotten by the inbox. `None`: it has
    /// forgotten nothing yet.
    known_since: Option<NaiveDate>,
}

/// A published event, as far as it matters here.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Passing<'e> {
    pub event_id: EventId,
    pub event_type: &'e str,
    pub topic: &'e str,
    pub partition: i32,
    pub offset: i64,
}

/// Where an event is, seen from a group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Whereabouts {
    /// The group does not act on such events, or leaves one that cannot be read to others.
    Skipped,
    /// In its inbox.
    Settled(InboxState),
    /// Still to come.
    InFlight,
    /// Older than the inbox.
    Forgotten,
    /// Behind the group's place, and not in its inbox.
    PassedBy,
}

impl Place {
    /// The place of `group`, as `lags` (all groups') say it.
    pub(crate) async fn of(
        pool: &MySqlPool,
        group: Group,
        lags: &[GroupLag],
        known_since: Option<NaiveDate>,
    ) -> Result<Self, Error> {
        let mut next: HashMap<String, HashMap<i32, i64>> = HashMap::new();
        let of_group = lags.iter().filter(|lag| lag.group == group.name());
        for lag in of_group.flat_map(|lag| &lag.partitions) {
            let to_come = lag.committed.unwrap_or(lag.oldest).max(lag.oldest);
            next.entry(lag.topic.clone())
                .or_default()
                .insert(lag.partition, to_come);
        }
        Ok(Self {
            group,
            group_no: inbox::group_no(pool, group.name()).await?,
            next,
            known_since,
        })
    }

    /// Whether the group reads a public topic.
    pub(crate) fn reads(&self, topic: &str) -> bool {
        self.next.contains_key(topic)
    }

    /// Where each of `events` is, in their order.
    pub(crate) async fn whereabouts(
        &self,
        transaction: &mut Transaction<'_, MySql>,
        events: &[Passing<'_>],
    ) -> Result<Vec<Whereabouts>, Error> {
        let handled: Vec<EventId> = events
            .iter()
            .filter(|event| self.group.handles(event.event_type))
            .map(|event| event.event_id)
            .collect();
        let settled = self.settled(transaction, &handled).await?;
        let left = self.left_to_others(transaction, events, &settled).await?;
        Ok(events
            .iter()
            .map(|event| {
                if !self.group.handles(event.event_type) || left.contains(&event.event_id) {
                    Whereabouts::Skipped
                } else if let Some(state) = settled.get(&event.event_id) {
                    Whereabouts::Settled(*state)
                } else if !self.has_passed(event) {
                    Whereabouts::InFlight
                } else if self.remembers(event.event_id) {
                    Whereabouts::PassedBy
                } else {
                    Whereabouts::Forgotten
                }
            })
            .collect())
    }

    /// Those of `events` that the group has passed by because they could not be read, and of which
    /// another group made a letter.
    async fn left_to_others(
        &self,
        transaction: &mut Transaction<'_, MySql>,
        events: &[Passing<'_>],
        settled: &HashMap<EventId, InboxState>,
    ) -> Result<HashSet<EventId>, Error> {
        let unknown: Vec<EventId> = events
            .iter()
            .filter(|event| self.group.leaves_to_others(&[event.event_type]))
            .filter(|event| !settled.contains_key(&event.event_id) && self.has_passed(event))
            .map(|event| event.event_id)
            .collect();
        let mut left = HashSet::new();
        for events in unknown.chunks(EVENTS_AT_ONCE) {
            left.extend(with_letters_elsewhere(transaction, self.group_no, events).await?);
        }
        Ok(left)
    }

    /// Those of `events` that the group has met, and what it did with them.
    pub(crate) async fn settled(
        &self,
        transaction: &mut Transaction<'_, MySql>,
        events: &[EventId],
    ) -> Result<HashMap<EventId, InboxState>, Error> {
        let mut settled = HashMap::with_capacity(events.len());
        for events in events.chunks(EVENTS_AT_ONCE) {
            settled.extend(inbox::existing(transaction, self.group_no, events).await?);
        }
        Ok(settled)
    }

    /// Whether the inbox still knows what it once knew of an event.
    pub(crate) fn remembers(&self, event_id: EventId) -> bool {
        self.known_since.is_none_or(|since| event_day(event_id) >= since)
    }

    fn has_passed(&self, event: &Passing<'_>) -> bool {
        let partitions = self.next.get(event.topic);
        partitions
            .and_then(|partitions| partitions.get(&event.partition))
            .is_some_and(|next| event.offset < *next)
    }
}
