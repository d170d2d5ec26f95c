//! Which partitions this process has, each with its worker. The poll thread fills the
//! workers' queues; rebalances, which Kafka reports on that same thread, start and stop
//! the workers.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use headgate_runtime::shutdown::CancellationToken;
use headgate_schemas::topics::TopicNames;
use parking_lot::Mutex;
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer, ConsumerContext, Rebalance};
use rdkafka::error::KafkaError;
use rdkafka::statistics::Partition;
use rdkafka::{ClientContext, Offset, Statistics, TopicPartitionList};
use tokio::runtime::Handle;
use tokio::task::JoinHandle;

use super::item::Source;
use super::lag;
use super::progress::Progress;
use super::queue::{Limits, Queue};
use super::worker::{Tools, Worker};

/// A partition that this process has.
pub(crate) struct Assigned {
    pub source: Source,
    pub queue: Arc<Queue>,
    pub progress: Arc<Progress>,
    /// Kafka delivers nothing of it for now, because the queue is full.
    pub is_paused: bool,
    /// The offset that was committed last, confirmed or on its way.
    pub committed: Option<i64>,
    stop: CancellationToken,
    task: JoinHandle<()>,
}

/// What the poll thread and the callbacks on it share.
pub(crate) struct Assignment {
    tools: Tools,
    names: TopicNames,
    queue: Limits,
    /// Longest wait for workers whose partitions are revoked.
    stop_timeout: Duration,
    runtime: Handle,
    partitions: Mutex<Vec<Assigned>>,
    /// The group has taken this process in.
    has_joined: Arc<AtomicBool>,
}

impl Assignment {
    pub(crate) fn new(
        tools: Tools,
        names: TopicNames,
        queue: Limits,
        stop_timeout: Duration,
        has_joined: Arc<AtomicBool>,
    ) -> Self {
        Self {
            tools,
            names,
            queue,
            stop_timeout,
            runtime: Handle::current(),
            partitions: Mutex::default(),
            has_joined,
        }
    }

    /// Runs `with` on the partitions. It must not poll Kafka.
    pub(crate) fn with<R>(&self, with: impl FnOnce(&mut Vec<Assigned>) -> R) -> R {
        with(&mut self.partitions.lock())
    }

    /// Whether a worker ended that nobody stopped: a fault of the code.
    pub(crate) fn has_lost_a_worker(&self) -> bool {
        self.with(|partitions| {
            partitions
                .iter()
                .any(|partition| partition.task.is_finished() && !partition.stop.is_cancelled())
        })
    }

    fn start(&self, topic: &str, partition: i32) {
        let group = self.tools.decoder.group;
        let catalogued = group.topics().iter().find(|entry| {
            self.names.public(entry) == topic || self.names.retry(entry, group.name()) == topic
        });
        let Some(catalogued) = catalogued else {
            tracing::error!(
                topic,
                "a partition of a topic that was not subscribed was assigned"
            );
            return;
        };
        let source = Source {
            topic: topic.into(),
            partition,
            public: self.names.public(catalogued).into(),
            catalogued: *catalogued,
        };
        let (queue, progress) = (Arc::new(Queue::new(self.queue)), Arc::<Progress>::default());
        let stop = CancellationToken::new();
        let worker = Worker {
            tools: self.tools.clone(),
            source: source.clone(),
            queue: Arc::clone(&queue),
            progress: Arc::clone(&progress),
            stop: stop.clone(),
        };
        let task = self.runtime.spawn(worker.run());
        self.with(|partitions| {
            partitions.push(Assigned {
                source,
                queue,
                progress,
                is_paused: false,
                committed: None,
                stop,
                task,
            });
        });
    }

    /// Stops the workers of the partitions that `is_revoked` and waits for the end of
    /// their transactions, a bounded time. One that does not end in time goes on alone:
    /// the lock on its partition's row and the inbox keep it from doing harm. Returns
    /// the offsets to commit.
    pub(crate) fn stop(&self, is_revoked: impl Fn(&Source) -> bool) -> TopicPartitionList {
        let revoked: Vec<Assigned> = self.with(|partitions| {
            partitions
                .extract_if(.., |partition| is_revoked(&partition.source))
                .collect()
        });
        for partition in &revoked {
            partition.stop.cancel();
        }
        let deadline = Instant::now() + self.stop_timeout;
        let mut offsets = TopicPartitionList::new();
        for mut partition in revoked {
            let left = deadline.saturating_duration_since(Instant::now());
            let ended = self
                .runtime
                .block_on(async { tokio::time::timeout(left, &mut partition.task).await });
            let source = &partition.source;
            if ended.is_err() {
                tracing::warn!(
                    topic = %source.topic, partition = source.partition, timeout_ms = self.stop_timeout.as_millis(),
                    "a revoked partition's transaction did not end in time"
                );
            }
            lag::forget(self.tools.decoder.group.name(), source);
            add_offset(&mut offsets, &mut partition);
        }
        offsets
    }

    /// Compares what was committed with what Kafka has confirmed: of a commit that failed, as
    /// one does that meets a rebalance, the client tells nobody. It is sent again with the next
    /// round. Otherwise a partition in which nothing comes after would stay behind, until Kafka
    /// drops the record that the group seems to need next.
    fn compare(&self, statistics: &Statistics) {
        self.with(|partitions| {
            for partition in partitions {
                let confirmed =
                    of_partition(statistics, &partition.source).map(|known| known.committed_offset);
                if partition.committed.is_some() && partition.committed != confirmed {
                    partition.committed = None;
                }
            }
        });
    }

    /// The offsets that were not committed yet.
    pub(crate) fn offsets_to_commit(&self) -> TopicPartitionList {
        let mut offsets = TopicPartitionList::new();
        self.with(|partitions| {
            for partition in partitions {
                add_offset(&mut offsets, partition);
            }
        });
        offsets
    }
}

/// Adds the offset of a partition, unless it was committed already.
fn add_offset(offsets: &mut TopicPartitionList, partition: &mut Assigned) {
    let next = partition.progress.next();
    if let Some(offset) = next.filter(|_| next != partition.committed) {
        let source = &partition.source;
        if offsets
            .add_partition_offset(&source.topic, source.partition, Offset::Offset(offset))
            .is_ok()
        {
            partition.committed = next;
        }
    }
}

/// Commits offsets without waiting; see [`Assignment::compare`]. One that gets lost at a
/// rebalance costs a redelivery, which the inbox recognises.
pub(crate) fn commit(consumer: &BaseConsumer<Callbacks>, offsets: &TopicPartitionList) {
    if offsets.count() == 0 {
        return;
    }
    if let Err(error) = consumer.commit(offsets, CommitMode::Async) {
        tracing::debug!(%error, "offsets were not committed");
    }
}

/// What the client knows of a partition.
pub(crate) fn of_partition<'s>(statistics: &'s Statistics, source: &Source) -> Option<&'s Partition> {
    let topic = statistics.topics.get(&*source.topic)?;
    topic.partitions.get(&source.partition)
}

/// What Kafka calls back, on the poll thread.
pub(crate) struct Callbacks {
    pub assignment: Arc<Assignment>,
}

impl ClientContext for Callbacks {
    fn stats(&self, statistics: Statistics) {
        self.assignment.compare(&statistics);
        lag::report(
            &self.assignment,
            self.assignment.tools.decoder.group.name(),
            &statistics,
        );
    }

    fn error(&self, error: KafkaError, reason: &str) {
        tracing::debug!(%error, reason, "kafka client");
    }
}

impl ConsumerContext for Callbacks {
    fn pre_rebalance(&self, consumer: &BaseConsumer<Self>, rebalance: &Rebalance<'_>) {
        if let Rebalance::Revoke(revoked) = rebalance {
            let offsets = self
                .assignment
                .stop(|source| revoked.find_partition(&source.topic, source.partition).is_some());
            commit(consumer, &offsets);
            tracing::info!(partitions = revoked.count(), "partitions revoked");
        }
    }

    fn post_rebalance(&self, _: &BaseConsumer<Self>, rebalance: &Rebalance<'_>) {
        if let Rebalance::Assign(assigned) = rebalance {
            for partition in assigned.elements() {
                self.assignment.start(partition.topic(), partition.partition());
            }
            self.assignment.has_joined.store(true, Ordering::Release);
            tracing::info!(partitions = assigned.count(), "partitions assigned");
        }
    }
}
