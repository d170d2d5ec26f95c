//! The runner of a consumer group: topics in, committed MySQL rows out.
//!
//! A thread talks to Kafka ([`poll`]) and fills one queue for each partition; a worker
//! empties it in batches ([`worker`]), each a MySQL transaction ([`batch`]) that is
//! tried until it holds ([`persist`]).

mod assignment;
mod attempt;
mod batch;
mod failure;
mod item;
mod lag;
mod offsets;
mod outdated;
mod patience;
mod persist;
mod pieces;
pub mod poll;
mod progress;
mod queue;
mod record;
mod release;
mod replay;
mod settled;
mod sort;
mod worker;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use headgate_dead_letters::park::Bounds;
use headgate_groups::decode::Decoder;
use headgate_groups::{Context, Group};
use headgate_outbox::inbox::{self, GroupNo};
use headgate_outbox::wake::Waker;
use headgate_runtime::clock::DatabaseClock;
use headgate_runtime::kafka;
use headgate_runtime::registry::Registry;
use headgate_runtime::shutdown::CancellationToken;
use parking_lot::Mutex;
use sqlx::MySqlPool;
use tokio::runtime::Handle;
use tokio::sync::oneshot;

use self::assignment::Assignment;
use self::batch::Batches;
use self::offsets::{Lost, Place};
pub(crate) use self::outdated::OutdatedBalances;
use self::patience::{Patience, Pauses, Stopped};
use self::poll::Poll;
use self::queue::Limits;
pub(crate) use self::settled::Settled;
use self::worker::Tools;
use crate::{config, measure};

/// What a runner is made from.
#[derive(Clone)]
pub(crate) struct Parts {
    pub pool: MySqlPool,
    pub registry: Registry,
    pub context: Context,
    pub clock: DatabaseClock,
    pub waker: Waker,
    pub settled: Settled,
    pub outdated: OutdatedBalances,
    pub kafka: kafka::Config,
    pub settings: config::Consumer,
}

/// How a group's runner is doing, for readiness.
#[derive(Clone, Debug, Default)]
pub(crate) struct Standing {
    has_joined: Arc<AtomicBool>,
    lost: Arc<Mutex<Vec<Lost>>>,
}

impl Standing {
    /// Whether the group has taken this process in.
    pub(crate) fn joined(&self) -> Result<(), String> {
        if self.has_joined.load(Ordering::Acquire) {
            Ok(())
        } else {
            Err("the group has not taken this process in yet".to_owned())
        }
    }

    /// Whether the group knows where it is in every partition.
    pub(crate) fn has_place(&self) -> Result<(), String> {
        let lost = self.lost.lock();
        if lost.is_empty() {
            return Ok(());
        }
        let partitions: Vec<_> = lost
            .iter()
            .map(|lost| format!("{}/{}", lost.topic, lost.partition))
            .collect();
        Err(format!(
            "kafka no longer has the next record of {}: feed the group again (headgate offsets refeed), then stop it and reset its offsets",
            partitions.join(", ")
        ))
    }

    fn set_lost(&self, group: &'static str, lost: Vec<Lost>) {
        metrics::gauge!("headgate_consumer_place_lost", "group" => group).set(measure::count(lost.len()));
        for Lost { topic, partition } in &lost {
            tracing::error!(
                group,
                topic,
                partition,
                "the group has lost its place; the partition stands still"
            );
        }
        *self.lost.lock() = lost;
    }
}

/// Runs a group until stopped.
pub(crate) async fn run(
    group: Group,
    parts: Parts,
    standing: Standing,
    stop: CancellationToken,
) -> Result<(), poll::Error> {
    let Ok(group_no) = registered(group, &parts, &stop).await else {
        return Ok(());
    };
    let poll = poll(group, group_no, parts, standing);
    let (report, ended) = oneshot::channel();
    // A thread of its own, not one of the runtime's: it blocks in Kafka's client, and a
    // process that has to end does not wait for it.
    let spawned = std::thread::Builder::new()
        .name(format!("poll-{}", group.name()))
        .spawn(move || {
            let _nobody_waits = report.send(poll.run(&stop));
        });
    if let Err(source) = spawned {
        return Err(poll::Error::Thread {
            group: group.name(),
            source,
        });
    }
    ended.await.unwrap_or(Err(poll::Error::WorkerDied(group.name())))
}

/// The group's number, for which MySQL is waited for.
async fn registered(group: Group, parts: &Parts, stop: &CancellationToken) -> Result<GroupNo, Stopped> {
    let mut patience = Patience::new(pauses(&parts.settings));
    loop {
        match inbox::group_no(&parts.pool, group.name()).await {
            Ok(group_no) => return Ok(group_no),
            Err(error) => {
                tracing::warn!(group = group.name(), %error, "the group cannot be registered yet");
                patience.wait(stop).await?;
            }
        }
    }
}

fn poll(group: Group, group_no: GroupNo, parts: Parts, standing: Standing) -> Poll {
    let settings = parts.settings;
    let names = parts.kafka.names();
    let client = poll::settings(parts.kafka.client(), &names.group(group.name()));
    let topics = group
        .topics()
        .iter()
        .flat_map(|topic| [names.public(topic), names.retry(topic, group.name())])
        .collect();
    let place = Place {
        pool: parts.pool.clone(),
        runtime: Handle::current(),
        group: group_no,
        topics,
    };
    let queue = Limits {
        records_max: settings.queue_records_max,
        bytes_max: settings.queue_bytes_max,
    };
    let has_joined = Arc::clone(&standing.has_joined);
    let assignment = Assignment::new(
        tools(group, group_no, parts),
        names,
        queue,
        settings.stop_timeout,
        has_joined,
    );
    Poll {
        group: group.name(),
        client,
        place,
        assignment: Arc::new(assignment),
        standing,
        pauses: pauses(&settings),
        commit_every: settings.commit_every,
    }
}

fn tools(group: Group, group_no: GroupNo, parts: Parts) -> Tools {
    let settings = parts.settings;
    Tools {
        decoder: Decoder {
            group,
            registry: parts.registry,
        },
        batches: Batches {
            pool: parts.pool,
            group,
            group_no,
            context: parts.context,
            clock: parts.clock,
            bounds: Bounds {
                per_key_max: settings.parked_per_key_max,
                per_partition_max: settings.parked_per_partition_max,
            },
        },
        waker: parts.waker,
        settled: parts.settled,
        outdated: parts.outdated,
        settings: worker::Settings {
            batch: Limits {
                records_max: settings.batch_records_max,
                bytes_max: settings.batch_bytes_max,
            },
            batch_every: settings.batch_every,
            retry_every: settings.retry_every,
            attempts_max: settings.attempts_max,
            replays_max: settings.replays_max,
            transaction_timeout: settings.transaction_timeout,
            pauses: pauses(&settings),
        },
    }
}

const fn pauses(settings: &config::Consumer) -> Pauses {
    Pauses {
        shortest: settings.pause_shortest,
        longest: settings.pause_longest,
    }
}
