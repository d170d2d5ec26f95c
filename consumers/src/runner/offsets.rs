//! Where a group begins. A group that is new to a partition begins at its earliest
//! record; one that was there before goes on where it was, and if Kafka has forgotten
//! where that is, or dropped what came next, it stops and says so: skipping would lose
//! events in silence.

use std::time::Duration;

use headgate_outbox::inbox::{self, GroupNo};
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer, ConsumerContext};
use rdkafka::error::KafkaError;
use rdkafka::{Offset, TopicPartitionList};
use sqlx::MySqlPool;
use tokio::runtime::Handle;

/// Longest wait for one answer of Kafka.
pub(crate) const KAFKA_TIMEOUT: Duration = Duration::from_secs(5);

/// A group's place in a topic could not be found out.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Kafka.
    #[error("kafka cannot be asked for offsets")]
    Kafka(#[from] KafkaError),
    /// There is no such topic.
    #[error("there is no topic `{0}`: `headgate topics apply` makes it")]
    NoTopic(String),
    /// MySQL.
    #[error("the group's partitions cannot be read or registered")]
    Database(#[from] sqlx::Error),
}

/// A partition whose next record is gone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Lost {
    pub topic: String,
    pub partition: i32,
}

/// Every partition of `topics`.
pub(crate) fn partitions<C: ConsumerContext>(
    consumer: &BaseConsumer<C>,
    topics: &[String],
) -> Result<TopicPartitionList, Error> {
    let mut list = TopicPartitionList::new();
    for topic in topics {
        let metadata = consumer.fetch_metadata(Some(topic), KAFKA_TIMEOUT)?;
        let found = metadata.topics().iter().find(|found| found.name() == topic);
        let found = found.filter(|found| found.error().is_none() && !found.partitions().is_empty());
        let found = found.ok_or_else(|| Error::NoTopic(topic.clone()))?;
        for partition in found.partitions() {
            list.add_partition(topic, partition.id());
        }
    }
    Ok(list)
}

/// A group and its topics.
pub(crate) struct Place {
    pub pool: MySqlPool,
    pub runtime: Handle,
    pub group: GroupNo,
    /// Public and retry topics, as Kafka names them.
    pub topics: Vec<String>,
}

impl Place {
    /// Gives every partition that the group has never read a committed offset, the
    /// earliest, and registers it in MySQL. Returns those whose place is lost. Blocks.
    pub(crate) fn begin<C: ConsumerContext>(&self, consumer: &BaseConsumer<C>) -> Result<Vec<Lost>, Error> {
        let committed = consumer.committed_offsets(partitions(consumer, &self.topics)?, KAFKA_TIMEOUT)?;
        let mut lost = Vec::new();
        for element in committed.elements() {
            let (topic, partition) = (element.topic(), element.partition());
            let (earliest, _) = consumer.fetch_watermarks(topic, partition, KAFKA_TIMEOUT)?;
            let is_known = self
                .runtime
                .block_on(inbox::is_registered(&self.pool, self.group, topic, partition))?;
            let is_lost = match element.offset() {
                Offset::Offset(offset) => is_known && offset < earliest,
                _ if is_known => true,
                _ => {
                    let mut first = TopicPartitionList::new();
                    first.add_partition_offset(topic, partition, Offset::Offset(earliest))?;
                    consumer.commit(&first, CommitMode::Sync)?;
                    false
                }
            };
            if is_lost {
                lost.push(Lost {
                    topic: topic.to_owned(),
                    partition,
                });
            }
            self.runtime.block_on(inbox::register_partition(
                &self.pool, self.group, topic, partition,
            ))?;
        }
        Ok(lost)
    }
}
