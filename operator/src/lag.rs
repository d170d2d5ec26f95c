//! How far the consumer groups are behind.

use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::extract::State;
use headgate_groups::Group;
use headgate_runtime::kafka;
use headgate_schemas::topics::TopicNames;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, KafkaResult};
use rdkafka::{Offset, TopicPartitionList};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::Error;
use crate::auth::{As, Viewer};
use crate::http::problem::Problem;
use crate::state::Servers;

/// Longest wait for one answer of the brokers.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(5);

/// Lag of every group.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct Lags {
    /// One for each group.
    pub items: Vec<GroupLag>,
}

/// Lag of a group.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct GroupLag {
    /// The group.
    pub group: String,
    /// Records it has not consumed, over all partitions.
    pub lag_records: i64,
    /// Each partition that it reads.
    pub partitions: Vec<PartitionLag>,
}

/// Lag of a group in a partition.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct PartitionLag {
    /// The topic, as Kafka names it.
    pub topic: String,
    /// The partition.
    pub partition: i32,
    /// The next offset the group will read; absent if it never committed one.
    pub committed: Option<i64>,
    /// The oldest offset there is.
    pub oldest: i64,
    /// The offset of the next record to come.
    pub newest: i64,
    /// Records between the two.
    pub lag_records: i64,
    /// Whether records were dropped by retention before the group read them.
    pub records_lost: bool,
}

/// Shows how far each group is behind, in each partition that it reads.
#[utoipa::path(
    get, path = "/v1/lag", tag = "lag",
    responses((status = 200, body = Lags), (status = "4XX", body = Problem), (status = 503, body = Problem))
)]
pub async fn lag(_viewer: As<Viewer>, State(servers): State<Servers>) -> Result<Json<Lags>, Error> {
    Ok(Json(Lags {
        items: measure(servers.kafka).await?,
    }))
}

/// Asks Kafka for the lag of every group.
pub async fn measure(config: Arc<kafka::Config>) -> Result<Vec<GroupLag>, Error> {
    let groups = move || {
        Group::ALL
            .iter()
            .map(|group| of_group(&config, *group))
            .collect::<KafkaResult<_>>()
    };
    tokio::task::spawn_blocking(groups)
        .await
        .map_err(|_| Error::Internal("measuring the lag panicked"))?
        .map_err(Error::Kafka)
}

/// Topics that a group reads: the public ones and its retry topic of each.
fn topics_of(group: Group, names: &TopicNames) -> Vec<String> {
    group
        .topics()
        .iter()
        .flat_map(|topic| [names.public(topic), names.retry(topic, group.name())])
        .collect()
}

/// Partitions of a topic. One that is not there is an error, not an empty list: nothing
/// could be said about what waits in it.
pub(crate) fn partitions_of(consumer: &BaseConsumer, topic: &str) -> KafkaResult<Vec<i32>> {
    let metadata = consumer.fetch_metadata(Some(topic), ANSWER_TIMEOUT)?;
    let mut partitions = Vec::new();
    for found in metadata.topics() {
        if let Some(error) = found.error() {
            return Err(KafkaError::MetadataFetch(error.into()));
        }
        partitions.extend(
            found
                .partitions()
                .iter()
                .map(rdkafka::metadata::MetadataPartition::id),
        );
    }
    Ok(partitions)
}

fn of_group(config: &kafka::Config, group: Group) -> KafkaResult<GroupLag> {
    let names = config.names();
    // Never subscribes, so it is no member and disturbs nobody.
    let consumer: BaseConsumer = config
        .client()
        .set("group.id", names.group(group.name()))
        .set("enable.auto.commit", "false")
        .create()?;
    let mut wanted = TopicPartitionList::new();
    for topic in topics_of(group, &names) {
        for partition in partitions_of(&consumer, &topic)? {
            wanted.add_partition(&topic, partition);
        }
    }
    let committed = consumer.committed_offsets(wanted, ANSWER_TIMEOUT)?;
    let mut partitions = Vec::new();
    for element in committed.elements() {
        let (topic, partition) = (element.topic(), element.partition());
        let (oldest, newest) = consumer.fetch_watermarks(topic, partition, ANSWER_TIMEOUT)?;
        let committed = match element.offset() {
            Offset::Offset(offset) => Some(offset),
            _ => None,
        };
        partitions.push(PartitionLag::new(topic, partition, committed, oldest, newest));
    }
    Ok(GroupLag {
        group: group.name().to_owned(),
        lag_records: partitions.iter().map(|partition| partition.lag_records).sum(),
        partitions,
    })
}

impl PartitionLag {
    fn new(topic: &str, partition: i32, committed: Option<i64>, oldest: i64, newest: i64) -> Self {
        // A group begins at the oldest record.
        let next = committed.unwrap_or(oldest);
        Self {
            topic: topic.to_owned(),
            partition,
            committed,
            oldest,
            newest,
            lag_records: (newest - next.max(oldest)).max(0),
            records_lost: next < oldest,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lag_counts_what_is_there_and_not_yet_read() {
        let lag = |committed, oldest, newest| {
            let lag = PartitionLag::new("t", 0, committed, oldest, newest);
            (lag.lag_records, lag.records_lost)
        };
        assert_eq!(lag(Some(7), 0, 10), (3, false));
        assert_eq!(lag(None, 2, 10), (8, false));
        assert_eq!(lag(Some(1), 4, 10), (6, true));
        assert_eq!(lag(Some(10), 10, 10), (0, false));
    }
}
