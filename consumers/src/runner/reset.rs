//! Moving a group to another time: everything from there on is delivered again, and
//! the inbox keeps it from being applied again. Hence the limit: what the inbox has
//! forgotten may not be delivered again.

use chrono::{DateTime, NaiveDate, Utc};
use headgate_groups::Group;
use headgate_outbox::partitions::{DayTable, oldest_day};
use headgate_runtime::kafka;
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::{Offset, TopicPartitionList};
use sqlx::MySqlPool;

use super::offsets::{self, KAFKA_TIMEOUT, partitions};

/// A partition's new place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reset {
    /// Topic, as Kafka names it.
    pub topic: String,
    /// Partition.
    pub partition: i32,
    /// Where the group was; `None` if nowhere.
    pub before: Option<i64>,
    /// Where it is now.
    pub after: i64,
}

/// The group was not moved.
#[derive(Debug, thiserror::Error)]
pub enum Refused {
    /// The inbox no longer knows what was applied then.
    #[error("{to} is before {oldest}, the oldest day that the inbox knows")]
    TooOld {
        /// Where to.
        to: DateTime<Utc>,
        /// The first day that may be asked for.
        oldest: NaiveDate,
    },
    /// Kafka refuses; as a rule because a process of the group still runs.
    #[error("kafka does not move group `{group}`: are all its processes stopped?")]
    Running {
        /// Which group.
        group: &'static str,
        /// What Kafka says.
        #[source]
        source: KafkaError,
    },
    /// Offsets could not be read.
    #[error(transparent)]
    Offsets(#[from] offsets::Error),
    /// The inbox could not be read.
    #[error("the age of the inbox cannot be read")]
    Inbox(#[from] headgate_outbox::Error),
}

/// Moves `group`, of which no process may run, to the first record at or after `to` of
/// each partition of its public topics.
pub async fn reset_offsets(
    pool: &MySqlPool,
    kafka: &kafka::Config,
    group: Group,
    to: DateTime<Utc>,
) -> Result<Vec<Reset>, Refused> {
    if let Some(oldest) = oldest_day(pool, DayTable::Inbox).await?
        && to.date_naive() < oldest
    {
        return Err(Refused::TooOld { to, oldest });
    }
    let kafka = kafka.clone();
    let moved = tokio::task::spawn_blocking(move || reset(&kafka, group, to)).await;
    moved.unwrap_or_else(|panic| std::panic::resume_unwind(panic.into_panic()))
}

fn reset(kafka: &kafka::Config, group: Group, to: DateTime<Utc>) -> Result<Vec<Reset>, Refused> {
    let names = kafka.names();
    let client = super::poll::settings(kafka.client(), &names.group(group.name()));
    let consumer: BaseConsumer = client.create().map_err(offsets::Error::from)?;
    let topics: Vec<String> = group.topics().iter().map(|topic| names.public(topic)).collect();
    let all = partitions(&consumer, &topics)?;
    let before = consumer
        .committed_offsets(all.clone(), KAFKA_TIMEOUT)
        .map_err(offsets::Error::from)?;
    let mut times = all;
    times
        .set_all_offsets(Offset::Offset(to.timestamp_millis()))
        .map_err(offsets::Error::from)?;
    let found = consumer
        .offsets_for_times(times, KAFKA_TIMEOUT)
        .map_err(offsets::Error::from)?;
    let (mut resets, mut after) = (Vec::new(), TopicPartitionList::new());
    for element in found.elements() {
        let (topic, partition) = (element.topic(), element.partition());
        let offset = match element.offset() {
            Offset::Offset(offset) => offset,
            // Nothing was written since: the end.
            _ => end(&consumer, topic, partition)?,
        };
        after
            .add_partition_offset(topic, partition, Offset::Offset(offset))
            .map_err(offsets::Error::from)?;
        let was = before
            .find_partition(topic, partition)
            .map(|found| found.offset());
        resets.push(Reset {
            topic: topic.to_owned(),
            partition,
            before: match was {
                Some(Offset::Offset(offset)) => Some(offset),
                _ => None,
            },
            after: offset,
        });
    }
    consumer
        .commit(&after, CommitMode::Sync)
        .map_err(|source| Refused::Running {
            group: group.name(),
            source,
        })?;
    Ok(resets)
}

fn end(consumer: &BaseConsumer, topic: &str, partition: i32) -> Result<i64, offsets::Error> {
    Ok(consumer.fetch_watermarks(topic, partition, KAFKA_TIMEOUT)?.1)
}
