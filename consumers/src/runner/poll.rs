//! The thread that talks to Kafka for one group: it hands records to the workers'
//! queues, pauses and resumes partitions, commits offsets, and serves rebalances. It
//! never waits for MySQL, except at a rebalance, and there for a bounded time.

use std::sync::Arc;
use std::time::{Duration, Instant};

use headgate_runtime::error_text;
use headgate_runtime::shutdown::CancellationToken;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::BorrowedMessage;
use rdkafka::{ClientConfig, Message, TopicPartitionList};

use super::Standing;
use super::assignment::{Assigned, Assignment, Callbacks, commit};
use super::offsets::{self, Place};
use super::patience::{Patience, Pauses, Stopped};
use super::record::Record;

/// Longest wait for a record: resuming a paused partition and a stop wait as long.
const POLL_TIMEOUT: Duration = Duration::from_millis(10);
/// How often full queues are looked after.
const TEND_EVERY: Duration = Duration::from_millis(5);

/// Why the thread ended early.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The client is broken beyond repair.
    #[error("the kafka client of group `{group}` is broken")]
    Client {
        /// Which group.
        group: &'static str,
        /// What it says.
        #[source]
        source: KafkaError,
    },
    /// The thread cannot be had.
    #[error("the poll thread of group `{group}` cannot be started")]
    Thread {
        /// Which group.
        group: &'static str,
        /// What the system says.
        #[source]
        source: std::io::Error,
    },
    /// A worker ended by a panic.
    #[error("a worker of group `{0}` died")]
    WorkerDied(&'static str),
}

/// The client's settings beside where the brokers are. The client's own buffer is kept
/// small: what it holds of a partition is thrown away when the partition is paused.
pub(crate) fn settings(mut client: ClientConfig, group_id: &str) -> ClientConfig {
    client
        .set("group.id", group_id)
        .set("partition.assignment.strategy", "cooperative-sticky")
        .set("enable.auto.commit", "false")
        .set("enable.auto.offset.store", "false")
        // A group that lost its place stops; see `offsets`.
        .set("auto.offset.reset", "error")
        .set("allow.auto.create.topics", "false")
        .set("session.timeout.ms", "10000")
        .set("heartbeat.interval.ms", "2000")
        .set("fetch.wait.max.ms", "200")
        .set("queued.min.messages", "4000")
        .set("queued.max.messages.kbytes", "4096")
        .set("fetch.queue.backoff.ms", "5")
        .set("statistics.interval.ms", "1000");
    client
}

/// One group's thread.
pub(crate) struct Poll {
    pub group: &'static str,
    pub client: ClientConfig,
    pub place: Place,
    pub assignment: Arc<Assignment>,
    pub standing: Standing,
    pub pauses: Pauses,
    pub commit_every: Duration,
}

impl Poll {
    /// Runs until stopped; then lets the workers end, commits, and leaves the group.
    pub(crate) fn run(self, stop: &CancellationToken) -> Result<(), Error> {
        let callbacks = Callbacks {
            assignment: Arc::clone(&self.assignment),
        };
        let consumer = self
            .client
            .create_with_context(callbacks)
            .map_err(|source| self.broken(source))?;
        if self.begin(&consumer, stop) == Err(Stopped) {
            return Ok(());
        }
        let topics: Vec<&str> = self.place.topics.iter().map(String::as_str).collect();
        consumer
            .subscribe(&topics)
            .map_err(|source| self.broken(source))?;
        let ended = self.turn(&consumer, stop);
        let offsets = self.assignment.stop(|_| true);
        commit(&consumer, &offsets);
        // Dropping the consumer waits for the commit and leaves the group.
        drop(consumer);
        ended
    }

    /// Finds out where the group is, for as long as it takes.
    fn begin(&self, consumer: &BaseConsumer<Callbacks>, stop: &CancellationToken) -> Result<(), Stopped> {
        let mut patience: Option<Patience> = None;
        while let Err(error) = self.look_for_place(consumer) {
            let patience = patience.get_or_insert_with(|| {
                tracing::warn!(
                    group = self.group,
                    error = error_text(&error),
                    "the group cannot begin yet"
                );
                Patience::new(self.pauses)
            });
            self.place.runtime.block_on(patience.wait(stop))?;
        }
        Ok(())
    }

    fn look_for_place(&self, consumer: &BaseConsumer<Callbacks>) -> Result<(), offsets::Error> {
        let lost = self.place.begin(consumer)?;
        self.standing.set_lost(self.group, lost);
        Ok(())
    }

    fn turn(&self, consumer: &BaseConsumer<Callbacks>, stop: &CancellationToken) -> Result<(), Error> {
        let (mut tended_at, mut committed_at) = (Instant::now(), Instant::now());
        while !stop.is_cancelled() {
            while tended_at.elapsed() < TEND_EVERY {
                match consumer.poll(POLL_TIMEOUT) {
                    None => break,
                    Some(Ok(message)) => self.deliver(consumer, &message),
                    Some(Err(error)) => self.report(consumer, error)?,
                }
            }
            tended_at = Instant::now();
            self.resume(consumer);
            if committed_at.elapsed() >= self.commit_every {
                committed_at = Instant::now();
                commit(consumer, &self.assignment.offsets_to_commit());
                if self.assignment.has_lost_a_worker() {
                    return Err(Error::WorkerDied(self.group));
                }
            }
        }
        Ok(())
    }

    fn deliver(&self, consumer: &BaseConsumer<Callbacks>, message: &BorrowedMessage<'_>) {
        self.assignment.with(|partitions| {
            let (topic, number) = (message.topic(), message.partition());
            let owner = partitions
                .iter_mut()
                .find(|assigned| assigned.source.partition == number && *assigned.source.topic == *topic);
            // Of a partition that was just revoked: its new owner gets it.
            let Some(owner) = owner else { return };
            if owner.queue.push(Record::of(message)) && !owner.is_paused {
                owner.is_paused = consumer.pause(&only(owner)).is_ok();
            }
        });
    }

    fn resume(&self, consumer: &BaseConsumer<Callbacks>) {
        self.assignment.with(|partitions| {
            for paused in partitions
                .iter_mut()
                .filter(|assigned| assigned.is_paused && assigned.queue.has_room())
            {
                paused.is_paused = consumer.resume(&only(paused)).is_err();
            }
        });
    }

    fn report(&self, consumer: &BaseConsumer<Callbacks>, error: KafkaError) -> Result<(), Error> {
        match error {
            KafkaError::MessageConsumptionFatal(_) => return Err(self.broken(error)),
            KafkaError::MessageConsumption(
                RDKafkaErrorCode::AutoOffsetReset
                | RDKafkaErrorCode::NoOffset
                | RDKafkaErrorCode::OffsetOutOfRange,
            ) => {
                if let Err(error) = self.look_for_place(consumer) {
                    tracing::error!(
                        group = self.group,
                        error = error_text(&error),
                        "the group has lost its place somewhere"
                    );
                }
            }
            // The client goes on by itself when the brokers do.
            error => {
                metrics::counter!("headgate_consumer_kafka_errors_total", "group" => self.group).increment(1);
                tracing::warn!(group = self.group, %error, "kafka");
            }
        }
        Ok(())
    }

    const fn broken(&self, source: KafkaError) -> Error {
        Error::Client {
            group: self.group,
            source,
        }
    }
}

fn only(assigned: &Assigned) -> TopicPartitionList {
    let mut list = TopicPartitionList::new();
    list.add_partition(&assigned.source.topic, assigned.source.partition);
    list
}
