//! What a walk stands on: read before anything it judges.

use std::collections::HashMap;
use std::sync::Arc;

use chrono::{DateTime, Days, NaiveDate, NaiveTime, Utc};
use headgate_groups::Group;
use headgate_outbox::ledger::{self, UNARCHIVED_FOR};
use headgate_outbox::partitions::{DayTable, oldest_day};
use headgate_schemas::topics::{CATALOGUE, Topic, TopicNames};

use super::super::store;
use crate::passed::Place;
use crate::state::Servers;
use crate::{Error, lag};

/// Farthest day back that anybody can ask for: no archive is kept for so long.
const DAYS_BACK_MAX: u64 = 400;

/// What a walk stands on.
pub(super) struct Ground {
    /// When it was read, by MySQL's clock.
    pub as_of: DateTime<Utc>,
    /// What was published before this day is left out, or gone.
    pub since: NaiveDate,
    /// Events that were written before may be gone from the archive, or never were in it.
    kept_since: DateTime<Utc>,
    /// The groups, each with its place in Kafka.
    pub places: Vec<Place>,
    /// The public topics, as Kafka names them.
    pub topics: Vec<String>,
    names: TopicNames,
    ends: Ends,
}

/// The oldest offset and the one to come, by topic and partition.
type Ends = HashMap<String, HashMap<i32, (i64, i64)>>;

impl Ground {
    /// Reads it for what was published on `since` or later; without, on any day that is kept.
    /// Refused where no archive is kept: then nothing is known of what was published.
    pub(super) async fn read(servers: &Servers, since: Option<NaiveDate>) -> Result<Self, Error> {
        let as_of = store::now(&servers.pool).await?;
        let unarchived_at = ledger::unarchived_at(&servers.pool).await?;
        if unarchived_at.is_some_and(|last| as_of - last < UNARCHIVED_FOR) {
            return Err(Error::ArchiveOff);
        }
        let oldest = oldest_day(&servers.pool, DayTable::OutboxArchive).await?;
        let since = since
            .max(oldest)
            .unwrap_or_else(|| as_of.date_naive() - Days::new(1))
            .max(as_of.date_naive() - Days::new(DAYS_BACK_MAX))
            .min(as_of.date_naive());
        // Of a day that retention has reached, only what was published then is still there: what
        // was written then may have been published the day before, as clocks differ.
        let kept_whole = oldest.map_or(since, |oldest| since.max(oldest + Days::new(1)));
        let kept_since = kept_whole.and_time(NaiveTime::MIN).and_utc();
        let lags = lag::measure(Arc::clone(&servers.kafka)).await?;
        // The oldest day may be dropped while it is walked over.
        let inbox_since = oldest_day(&servers.pool, DayTable::Inbox).await?;
        let inbox_since = inbox_since.map(|oldest| oldest + Days::new(1));
        let mut places = Vec::with_capacity(Group::ALL.len());
        for group in Group::ALL {
            places.push(Place::of(&servers.pool, *group, &lags, inbox_since).await?);
        }
        let names = servers.kafka.names();
        Ok(Self {
            as_of,
            since,
            kept_since: unarchived_at.map_or(kept_since, |last| kept_since.max(last + UNARCHIVED_FOR)),
            places,
            topics: CATALOGUE.iter().map(|topic| names.public(topic)).collect(),
            names,
            ends: ends(&lags),
        })
    }

    /// Reads again where Kafka's partitions begin and end.
    pub(super) async fn read_ends(&mut self, servers: &Servers) -> Result<(), Error> {
        self.ends = ends(&lag::measure(Arc::clone(&servers.kafka)).await?);
        Ok(())
    }

    /// Today, by MySQL's clock.
    pub(super) fn today(&self) -> NaiveDate {
        self.as_of.date_naive()
    }

    /// Whether an event that was written under this outbox id must still be somewhere.
    pub(super) fn is_kept(&self, outbox_id: u64) -> bool {
        ledger::made_at(outbox_id) >= self.kept_since
    }

    /// Whether Kafka has not come to this offset, or has no such partition.
    pub(super) fn is_beyond(&self, topic: &str, partition: i32, offset: i64) -> bool {
        self.end(topic, partition)
            .is_none_or(|(_, newest)| offset >= newest)
    }

    /// Whether Kafka has dropped this offset by its retention.
    pub(super) fn is_dropped(&self, topic: &str, partition: i32, offset: i64) -> bool {
        self.end(topic, partition)
            .is_some_and(|(oldest, _)| offset < oldest)
    }

    fn end(&self, topic: &str, partition: i32) -> Option<(i64, i64)> {
        self.ends.get(topic)?.get(&partition).copied()
    }

    /// A public topic, as Kafka names it.
    pub(super) fn named(&self, topic: &Topic) -> String {
        self.names.public(topic)
    }
}

fn ends(lags: &[lag::GroupLag]) -> Ends {
    let mut ends = Ends::new();
    for lag in lags.iter().flat_map(|group| &group.partitions) {
        ends.entry(lag.topic.clone())
            .or_default()
            .insert(lag.partition, (lag.oldest, lag.newest));
    }
    ends
}
