//! Moving a group back or forward in time. What it has applied stays applied: the inbox
//! deduplicates, as far back as it reaches.

use std::time::Duration;

use axum::Json;
use axum::extract::State;
use chrono::{DateTime, Utc};
use headgate_groups::Group;
use headgate_outbox::audit;
use headgate_outbox::partitions::{DayTable, oldest_day};
use headgate_runtime::kafka;
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::{Offset, TopicPartitionList};
use serde::{Deserialize, Serialize};
use serde_json::json;
use utoipa::ToSchema;

use crate::auth::{Acting, As};
use crate::http::extract::{Body, Path};
use crate::http::problem::Problem;
use crate::lag::partitions_of;
use crate::state::Servers;
use crate::transaction::conclude;
use crate::{Error, Thing};

/// Longest wait for one answer of the brokers.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(10);

/// Where to move a group.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct OffsetReset {
    /// To the first record of each partition that is not older.
    pub to: DateTime<Utc>,
    /// Only say what would be done.
    #[serde(default)]
    pub dry_run: bool,
}

/// What a reset did, or would do.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct ResetGroup {
    /// The group.
    pub group: String,
    /// Whether it was only said.
    pub dry_run: bool,
    /// Each partition of its public topics.
    pub partitions: Vec<MovedPartition>,
}

/// A partition whose next offset moves.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct MovedPartition {
    /// The topic, as Kafka names it.
    pub topic: String,
    /// The partition.
    pub partition: i32,
    /// The next offset before; absent if the group never committed one.
    pub from: Option<i64>,
    /// The next offset after.
    pub to: i64,
}

/// Moves a group, which must not be running, to a point in time. Refused when the inbox
/// does not reach back that far, because events would be applied again.
#[utoipa::path(
    post, path = "/v1/groups/{group}/offsets/reset", tag = "lag", request_body = OffsetReset,
    params(("group" = String, Path, description = "The group")),
    responses((status = 200, body = ResetGroup), (status = "4XX", body = Problem), (status = 503, body = Problem))
)]
pub async fn reset(
    acting: As<Acting>,
    State(servers): State<Servers>,
    Path(name): Path<String>,
    Body(reset): Body<OffsetReset>,
) -> Result<Json<ResetGroup>, Error> {
    let group = Group::named(&name).ok_or_else(|| Error::NotFound {
        what: Thing::Group,
        id: name,
    })?;
    let reaches_back = oldest_day(&servers.pool, DayTable::Inbox).await?;
    if reaches_back.is_none_or(|day| reset.to.date_naive() < day) {
        return Err(Error::OffsetsTooOld {
            oldest_day: reaches_back,
        });
    }
    let config = servers.kafka.clone();
    let partitions = blocking(move || plan(&config, group, reset.to)).await?;
    if !reset.dry_run {
        // Said before it is done: Kafka cannot be part of the transaction.
        record(&servers, group, &reset, &partitions, &acting.operator.name).await?;
        let (config, moves) = (servers.kafka.clone(), partitions.clone());
        blocking(move || commit(&config, group, &moves)).await?;
        tracing::warn!(group = group.name(), to = %reset.to, operator = acting.operator.name, "offsets reset");
    }
    Ok(Json(ResetGroup {
        group: group.name().to_owned(),
        dry_run: reset.dry_run,
        partitions,
    }))
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Error> + Send + 'static,
) -> Result<T, Error> {
    tokio::task::spawn_blocking(work)
        .await
        .map_err(|_| Error::Internal("resetting offsets panicked"))?
}

async fn record(
    servers: &Servers,
    group: Group,
    reset: &OffsetReset,
    partitions: &[MovedPartition],
    actor: &str,
) -> Result<(), Error> {
    let mut transaction = servers.pool.begin().await?;
    let detail = json!({"to": reset.to, "partitions": partitions});
    let recorded = audit::record(&mut transaction, actor, "offsets.reset", group.name(), &detail).await;
    conclude(transaction, recorded.map_err(Error::from)).await
}

fn consumer(config: &kafka::Config, group: Group) -> Result<BaseConsumer, KafkaError> {
    config
        .client()
        .set("group.id", config.names().group(group.name()))
        .set("enable.auto.commit", "false")
        .create()
}

fn plan(config: &kafka::Config, group: Group, to: DateTime<Utc>) -> Result<Vec<MovedPartition>, Error> {
    let names = config.names();
    let consumer = consumer(config, group)?;
    refuse_running(&consumer, &names.group(group.name()))?;
    let mut wanted = TopicPartitionList::new();
    for topic in group.topics() {
        let topic = names.public(topic);
        for partition in partitions_of(&consumer, &topic)? {
            wanted.add_partition_offset(&topic, partition, Offset::Offset(to.timestamp_millis()))?;
        }
    }
    let found = consumer.offsets_for_times(wanted.clone(), ANSWER_TIMEOUT)?;
    let committed = consumer.committed_offsets(wanted, ANSWER_TIMEOUT)?;
    let mut moves = Vec::new();
    for element in found.elements() {
        let (topic, partition) = (element.topic(), element.partition());
        let to = match element.offset() {
            Offset::Offset(offset) => offset,
            // Nothing is that young: behind the last record.
            _ => consumer.fetch_watermarks(topic, partition, ANSWER_TIMEOUT)?.1,
        };
        let from = committed
            .find_partition(topic, partition)
            .and_then(|found| match found.offset() {
                Offset::Offset(offset) => Some(offset),
                _ => None,
            });
        moves.push(MovedPartition {
            topic: topic.to_owned(),
            partition,
            from,
            to,
        });
    }
    Ok(moves)
}

/// A running group would overwrite the offsets with its own.
fn refuse_running(consumer: &BaseConsumer, group_id: &str) -> Result<(), Error> {
    let found = consumer.fetch_group_list(Some(group_id), ANSWER_TIMEOUT)?;
    let members: usize = found.groups().iter().map(|group| group.members().len()).sum();
    if members > 0 {
        return Err(Error::GroupRunning { members });
    }
    Ok(())
}

fn commit(config: &kafka::Config, group: Group, moves: &[MovedPartition]) -> Result<(), Error> {
    let mut offsets = TopicPartitionList::new();
    for moved in moves {
        offsets.add_partition_offset(&moved.topic, moved.partition, Offset::Offset(moved.to))?;
    }
    consumer(config, group)?.commit(&offsets, CommitMode::Sync)?;
    Ok(())
}
