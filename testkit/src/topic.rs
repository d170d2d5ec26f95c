//! Reading whole topics, and writing records of any kind, with clients of the test's own.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use rdkafka::ClientConfig;
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::message::{Header, Headers, Message, OwnedHeaders};
use rdkafka::metadata::MetadataTopic;
use rdkafka::producer::{FutureProducer, FutureRecord};
use rdkafka::types::RDKafkaErrorCode;
use rdkafka::{Offset, TopicPartitionList};

use crate::eventually;

/// Longest time that reading a topic may take.
const READ_TIMEOUT: Duration = Duration::from_mins(1);
/// Longest wait for metadata and offsets.
const METADATA_TIMEOUT: Duration = Duration::from_secs(10);
/// Longest wait until a group is empty: Kafka waits for a member that was killed.
const EMPTY_TIMEOUT: Duration = Duration::from_secs(30);
/// Longest wait in one poll.
const POLL_TIMEOUT: Duration = Duration::from_millis(200);

/// A record as it lies in Kafka.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// Its topic.
    pub topic: String,
    /// Its partition.
    pub partition: i32,
    /// Its place there.
    pub offset: i64,
    /// Its key.
    pub key: Option<Vec<u8>>,
    /// Its value.
    pub value: Option<Vec<u8>>,
    /// Its headers, in order.
    pub headers: Vec<(String, Option<Vec<u8>>)>,
}

impl Record {
    /// The last header of this name, as text.
    pub fn header(&self, name: &str) -> Option<&str> {
        let last = self.headers.iter().rev().find(|(found, _)| found == name);
        last.and_then(|(_, value)| std::str::from_utf8(value.as_deref()?).ok())
    }

    /// The key as text.
    pub fn key_text(&self) -> Option<&str> {
        std::str::from_utf8(self.key.as_deref()?).ok()
    }
}

/// Reads every record that is in the topic now, in order of partition and offset. A
/// topic that does not exist has none.
pub async fn read(bootstrap: &str, topic: &str) -> Vec<Record> {
    let (config, name) = (client(bootstrap), topic.to_owned());
    tokio::task::spawn_blocking(move || read_blocking(&config, &name))
        .await
        .expect("reading does not panic")
        .unwrap_or_else(|error| panic!("{topic} cannot be read: {error}"))
}

fn client(bootstrap: &str) -> ClientConfig {
    let mut config = ClientConfig::new();
    config
        .set("bootstrap.servers", bootstrap)
        .set("group.id", "headgate-testkit")
        .set("enable.auto.commit", "false")
        .set("log_level", "0");
    config
}

fn read_blocking(config: &ClientConfig, topic: &str) -> Result<Vec<Record>, KafkaError> {
    let consumer: BaseConsumer = config.create()?;
    let ends = ends(&consumer, topic)?;
    let mut assignment = TopicPartitionList::new();
    for partition in ends.keys() {
        assignment.add_partition_offset(topic, *partition, Offset::Beginning)?;
    }
    let mut missing = ends;
    let mut records = Vec::new();
    if missing.is_empty() {
        return Ok(records);
    }
    consumer.assign(&assignment)?;
    let start = Instant::now();
    while !missing.is_empty() {
        assert!(
            start.elapsed() < READ_TIMEOUT,
            "{topic}: the ends {missing:?} are not reached"
        );
        let Some(message) = consumer.poll(POLL_TIMEOUT) else {
            continue;
        };
        let message = message?;
        let (partition, offset) = (message.partition(), message.offset());
        if missing.get(&partition).is_some_and(|end| offset + 1 >= *end) {
            missing.remove(&partition);
        }
        records.push(record(&message));
    }
    records.sort_by_key(|record| (record.partition, record.offset));
    Ok(records)
}

/// The end of each partition that is not empty.
fn ends(consumer: &BaseConsumer, topic: &str) -> Result<BTreeMap<i32, i64>, KafkaError> {
    let metadata = consumer.fetch_metadata(Some(topic), METADATA_TIMEOUT)?;
    let partitions = metadata.topics().iter().flat_map(MetadataTopic::partitions);
    let mut ends = BTreeMap::new();
    for partition in partitions {
        let (low, high) = consumer.fetch_watermarks(topic, partition.id(), METADATA_TIMEOUT)?;
        if high > low {
            ends.insert(partition.id(), high);
        }
    }
    Ok(ends)
}

fn record(message: &impl Message) -> Record {
    let headers = message.headers().into_iter().flat_map(|headers| {
        headers
            .iter()
            .map(|header| (header.key.to_owned(), header.value.map(<[u8]>::to_vec)))
    });
    Record {
        topic: message.topic().to_owned(),
        partition: message.partition(),
        offset: message.offset(),
        key: message.key().map(<[u8]>::to_vec),
        value: message.payload().map(<[u8]>::to_vec),
        headers: headers.collect(),
    }
}

/// As much as a topic takes by Kafka's own default.
const RECORD_BYTES_MAX: &str = "1048588";

/// Makes a topic.
pub async fn create(bootstrap: &str, topic: &str, partitions: i32) {
    let admin: AdminClient<DefaultClientContext> = client(bootstrap).create().expect("an admin client");
    let wanted = NewTopic::new(topic, partitions, TopicReplication::Fixed(1));
    let made = admin
        .create_topics([&wanted], &AdminOptions::new())
        .await
        .expect("Kafka answers");
    for outcome in made {
        if let Err((topic, error)) = outcome {
            assert_eq!(
                error,
                RDKafkaErrorCode::TopicAlreadyExists,
                "{topic} cannot be made"
            );
        }
    }
}

/// Writes a record to the partition that it names; returns its offset.
pub async fn write(bootstrap: &str, record: &Record) -> i64 {
    write_all(bootstrap, std::slice::from_ref(record)).await[0]
}

/// Writes records in their order, each to the partition that it names; returns their offsets.
pub async fn write_all(bootstrap: &str, records: &[Record]) -> Vec<i64> {
    let named = records
        .iter()
        .map(|record| to_send(record).partition(record.partition));
    send_all(bootstrap, named).await
}

/// Writes records in their order, each to the partition that its key belongs to, whatever
/// partition it names.
pub async fn publish(bootstrap: &str, records: &[Record]) {
    send_all(bootstrap, records.iter().map(to_send)).await;
}

async fn send_all<'r>(
    bootstrap: &str,
    records: impl Iterator<Item = FutureRecord<'r, Vec<u8>, Vec<u8>>>,
) -> Vec<i64> {
    let producer = producer(bootstrap);
    let deliveries: Vec<_> = records
        .map(|record| {
            let queued = producer.send_result(record);
            queued.unwrap_or_else(|(error, _)| panic!("a record cannot be queued: {error}"))
        })
        .collect();
    let mut offsets = Vec::with_capacity(deliveries.len());
    for delivery in deliveries {
        let delivered = delivery.await.expect("the producer lives");
        let delivered = delivered.unwrap_or_else(|(error, _)| panic!("a record cannot be written: {error}"));
        offsets.push(delivered.offset);
    }
    offsets
}

/// As the relay's: it agrees with every other on a key's place, and keeps the order.
fn producer(bootstrap: &str) -> FutureProducer {
    let mut config = client(bootstrap);
    config
        .set("partitioner", "murmur2_random")
        .set("enable.idempotence", "true")
        .set("acks", "all")
        .set("linger.ms", "0")
        .set("message.max.bytes", RECORD_BYTES_MAX);
    config.create().expect("a producer")
}

fn to_send(record: &Record) -> FutureRecord<'_, Vec<u8>, Vec<u8>> {
    let headers = record
        .headers
        .iter()
        .fold(OwnedHeaders::new(), |headers, (key, value)| {
            headers.insert(Header {
                key,
                value: value.as_ref(),
            })
        });
    let mut sent = FutureRecord::to(&record.topic).headers(headers);
    sent.key = record.key.as_ref();
    sent.payload = record.value.as_ref();
    sent
}

/// Sets a group's offsets back to the beginning of a topic. The group must not run; a member
/// that was killed is waited for, until Kafka takes it for dead.
pub async fn rewind(bootstrap: &str, group: &str, topic: &str) {
    let mut config = client(bootstrap);
    config.set("group.id", group);
    eventually(
        &format!("{group} to be empty, and set back"),
        EMPTY_TIMEOUT,
        async || {
            let (config, topic) = (config.clone(), topic.to_owned());
            let done = tokio::task::spawn_blocking(move || set_back(&config, &topic));
            done.await.expect("committing does not panic").ok()
        },
    )
    .await;
}

fn set_back(config: &ClientConfig, topic: &str) -> Result<(), KafkaError> {
    let consumer: BaseConsumer = config.create()?;
    let mut offsets = partitions(&consumer, topic)?;
    offsets.set_all_offsets(Offset::Offset(0))?;
    consumer.commit(&offsets, CommitMode::Sync)
}

fn partitions(consumer: &BaseConsumer, topic: &str) -> Result<TopicPartitionList, KafkaError> {
    let metadata = consumer.fetch_metadata(Some(topic), METADATA_TIMEOUT)?;
    let mut partitions = TopicPartitionList::new();
    for partition in metadata.topics().iter().flat_map(MetadataTopic::partitions) {
        partitions.add_partition(topic, partition.id());
    }
    Ok(partitions)
}

/// Records of a topic that a group has not committed. A partition of which nothing was ever
/// committed counts as behind, even if it is empty.
pub async fn behind(bootstrap: &str, group: &str, topic: &str) -> i64 {
    let mut config = client(bootstrap);
    config.set("group.id", group);
    let name = topic.to_owned();
    tokio::task::spawn_blocking(move || behind_blocking(&config, &name))
        .await
        .expect("asking Kafka does not panic")
        .unwrap_or_else(|error| panic!("the offsets of {group} in {topic} cannot be read: {error}"))
}

fn behind_blocking(config: &ClientConfig, topic: &str) -> Result<i64, KafkaError> {
    let consumer: BaseConsumer = config.create()?;
    let partitions = partitions(&consumer, topic)?;
    let mut behind = 0;
    for committed in consumer
        .committed_offsets(partitions, METADATA_TIMEOUT)?
        .elements()
    {
        let (first, end) = consumer.fetch_watermarks(topic, committed.partition(), METADATA_TIMEOUT)?;
        behind += match committed.offset() {
            Offset::Offset(offset) => end - offset,
            _ => end - first + 1,
        };
    }
    Ok(behind)
}

/// Lets Kafka drop everything below `offset` of some partitions, as its retention does.
pub async fn drop_records(bootstrap: &str, topic: &str, partitions: std::ops::Range<i32>, offset: Offset) {
    let admin: AdminClient<DefaultClientContext> =
        client(bootstrap).create().expect("an admin client can be made");
    let mut dropped = TopicPartitionList::new();
    for partition in partitions {
        dropped
            .add_partition_offset(topic, partition, offset)
            .expect("an offset");
    }
    admin
        .delete_records(&dropped, &AdminOptions::new())
        .await
        .expect("records are dropped");
}

/// Lets Kafka drop all there is of some partitions.
pub async fn drop_all(bootstrap: &str, topic: &str, partitions: std::ops::Range<i32>) {
    drop_records(bootstrap, topic, partitions, Offset::End).await;
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Environment;

    #[tokio::test]
    async fn what_was_written_is_read_byte_for_byte() {
        let environment = Environment::new("topic").await;
        let (bootstrap, topic) = (
            environment.kafka_bootstrap(),
            format!("{}sample", environment.kafka_prefix()),
        );
        create(bootstrap, &topic, 3).await;
        let mut records: Vec<_> = [0, 0, 2]
            .into_iter()
            .map(|partition| Record {
                topic: topic.clone(),
                partition,
                offset: 0,
                key: Some(vec![0, 255]),
                value: None,
                headers: vec![("a".to_owned(), None), ("a".to_owned(), Some(b"b".to_vec()))],
            })
            .collect();
        for record in &mut records {
            record.offset = write(bootstrap, record).await;
        }
        assert_eq!(read(bootstrap, &topic).await, records);
        assert_eq!(records[0].header("a"), Some("b"));
    }
}
