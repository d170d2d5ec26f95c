//! The relay as a service: build, learn its addresses, run until stopped.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use headgate_runtime::health::{self, Readiness};
use headgate_runtime::mysql;
use headgate_runtime::process::ProcessNumber;
use headgate_runtime::registry::{self, Registry};
use headgate_runtime::shutdown::{CancellationToken, TaskTracker, stopped_within};
use headgate_schemas::topics;
use metrics_exporter_prometheus::PrometheusHandle;
use sqlx::MySqlPool;
use tokio::net::TcpListener;
use tokio::sync::Notify;

use crate::Error;
use crate::backlog::Backlog;
use crate::config::Config;
use crate::ownership::{Ownership, Terms};
use crate::producer::Producer;
use crate::publisher::Publisher;
use crate::unarchived::Unarchived;
use crate::wakeup::{Lookout, Subscription};
use crate::worker::{Bell, Worker};

/// Name in logs and in `processes`.
const SERVICE: &str = "relay";
/// Pause between two attempts to begin.
const BEGIN_AGAIN_AFTER: Duration = Duration::from_millis(500);

/// The service could not be made.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    /// An address cannot be listened on.
    #[error("{address} cannot be listened on")]
    Listen {
        /// Which.
        address: SocketAddr,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// The settings of MySQL.
    #[error("the client of MySQL cannot be made")]
    Mysql(#[from] sqlx::Error),
    /// The settings of Redis.
    #[error("the client of Redis cannot be made")]
    Redis(#[from] redis::RedisError),
    /// The settings of the registry.
    #[error("the client of the schema registry cannot be made")]
    Registry(#[from] registry::Error),
    /// The settings of Kafka.
    #[error("the client of Kafka cannot be made")]
    Kafka(#[from] rdkafka::error::KafkaError),
}

/// The service ended by itself.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// The health listener.
    #[error("the health listener failed")]
    Health(#[from] std::io::Error),
    /// A worker cannot be made.
    #[error("the workers cannot begin")]
    Begin(#[from] Error),
}

/// Where the service listens.
#[derive(Clone, Copy, Debug)]
pub struct Addresses {
    /// Health and metrics.
    pub health: SocketAddr,
}

/// The relay, bound and ready to run.
pub struct Service {
    config: Config,
    pool: MySqlPool,
    registry: Registry,
    subscription: Subscription,
    probe: Arc<Producer>,
    health: TcpListener,
    addresses: Addresses,
    metrics: PrometheusHandle,
}

impl Service {
    /// Binds the health listener and prepares the clients; no server has to be up yet.
    /// `metrics` is what `/metrics` shows.
    pub async fn build(config: Config, metrics: PrometheusHandle) -> Result<Self, BuildError> {
        let address = config.health.listen;
        let (health, bound) = health::bind(address)
            .await
            .map_err(|source| BuildError::Listen { address, source })?;
        Ok(Self {
            pool: mysql::pool(&config.mysql)?,
            registry: Registry::new(&config.registry)?,
            subscription: Subscription::new(&config.redis)?,
            probe: Arc::new(Producer::new(config.producer())?),
            health,
            addresses: Addresses { health: bound },
            metrics,
            config,
        })
    }

    /// Where it listens.
    pub const fn addresses(&self) -> Addresses {
        self.addresses
    }

    /// Says on stdout and in the log where it listens.
    pub fn announce(&self) {
        health::announce(SERVICE, None, self.addresses.health);
    }

    /// Runs until stopped; the rounds in hand are finished and the buckets given back.
    pub async fn run_until(self, stop: CancellationToken) -> Result<(), RunError> {
        // Also cancelled when a part of the service fails.
        let stop = stop.child_token();
        let has_begun = Arc::new(AtomicBool::new(false));
        let names = self.config.kafka.names();
        let topics = topics::CATALOGUE
            .iter()
            .map(|topic| names.public(topic))
            .collect();
        let readiness = readiness(&self.pool, &has_begun, self.probe, topics);
        let serving = health::serve(self.health, readiness, self.metrics, stop.clone());
        let working = async {
            let worked = work(
                &self.config,
                self.pool,
                self.registry,
                &self.subscription,
                &has_begun,
                &stop,
            )
            .await;
            stop.cancel();
            worked
        };
        let (served, worked) = tokio::join!(serving, working);
        served?;
        Ok(worked?)
    }
}

fn readiness(
    pool: &MySqlPool,
    has_begun: &Arc<AtomicBool>,
    probe: Arc<Producer>,
    topics: Vec<String>,
) -> Readiness {
    let has_begun = has_begun.clone();
    Readiness::default()
        .mysql(pool)
        .check("kafka", move || {
            let (probe, topics) = (probe.clone(), topics.clone());
            async move {
                for topic in &topics {
                    match probe.knows(topic).await {
                        Ok(true) => {}
                        Ok(false) => return Err(format!("no topic {topic}: run `headgate topics apply`")),
                        Err(error) => return Err(error.to_string()),
                    }
                }
                Ok(())
            }
        })
        .check("work", move || {
            let has_begun = has_begun.load(Ordering::Relaxed);
            async move { has_begun.then_some(()).ok_or_else(|| "not begun yet".to_owned()) }
        })
}

async fn work(
    config: &Config,
    pool: MySqlPool,
    registry: Registry,
    subscription: &Subscription,
    has_begun: &AtomicBool,
    stop: &CancellationToken,
) -> Result<(), Error> {
    let Some(process) = process_number(&pool, stop).await else {
        return Ok(());
    };
    let relay = &config.relay;
    let unarchived = Unarchived {
        pool: pool.clone(),
        database_timeout: relay.database_timeout,
    };
    // Before anything is published without a trace.
    if !relay.archive && !Box::pin(unarchived.said(stop)).await {
        return Ok(());
    }
    let terms = Terms {
        lease: relay.lease,
        renew_every: relay.renew_every,
        database_timeout: relay.database_timeout,
        workers: relay.workers,
    };
    let holder = format!("{SERVICE}-{}", process.full());
    let ownership = Arc::new(Ownership::new(pool.clone(), holder, terms));
    let bells: Vec<Arc<Bell>> = (0..relay.workers).map(|_| Arc::default()).collect();
    let workers = TaskTracker::new();
    for (number, bell) in (0..relay.workers).zip(&bells) {
        let publisher = Publisher::new(config, pool.clone(), registry.clone(), process, stop.clone())?;
        let worker = Worker {
            number,
            publisher,
            ownership: ownership.clone(),
            bell: bell.clone(),
            full: usize::try_from(relay.batch_rows).unwrap_or(usize::MAX),
            round_every: relay.round_every,
        };
        workers.spawn(worker.work(stop.clone()));
    }
    workers.close();
    has_begun.store(true, Ordering::Relaxed);
    let lookout = Lookout {
        pool: pool.clone(),
        bells,
        shortest: relay.poll_shortest,
        longest: relay.poll_longest,
        database_timeout: relay.database_timeout,
    };
    let backlog = Backlog {
        pool,
        every: relay.backlog_every,
        rows_max: relay.backlog_rows_max,
        database_timeout: relay.database_timeout,
    };
    let woken = Notify::new();
    tokio::join!(
        keep_buckets(&ownership, &lookout, terms.renew_every, workers, stop),
        subscription.listen(&woken, stop),
        lookout.look(&woken, stop),
        backlog.watch(&ownership, stop),
        Box::pin(async {
            if !relay.archive {
                unarchived.keep_saying(stop).await;
            }
        }),
    );
    Ok(())
}

/// Draws this process's number, as soon as MySQL is there. `None`: stopped before.
async fn process_number(pool: &MySqlPool, stop: &CancellationToken) -> Option<ProcessNumber> {
    loop {
        match ProcessNumber::draw(pool, SERVICE).await {
            Ok(process) => return Some(process),
            Err(error) => tracing::warn!(%error, "the relay cannot begin yet"),
        }
        if stopped_within(stop, BEGIN_AGAIN_AFTER).await {
            return None;
        }
    }
}

/// Shares the buckets out until stopped, and gives them back when the workers have ended.
async fn keep_buckets(
    ownership: &Ownership,
    lookout: &Lookout,
    every: Duration,
    workers: TaskTracker,
    stop: &CancellationToken,
) {
    while !stop.is_cancelled() {
        match ownership.share_out().await {
            Ok(true) => lookout.ring_all(),
            Ok(false) => {}
            Err(error) => tracing::warn!(%error, "leases could not be renewed"),
        }
        let until = tokio::time::Instant::now() + every;
        while !stop.is_cancelled() {
            tokio::select! {
                () = stop.cancelled() => {}
                () = tokio::time::sleep_until(until) => break,
                () = ownership.something_to_give_back() => {
                    if let Err(error) = ownership.give_back().await {
                        tracing::warn!(%error, "a bucket could not be given back; its lease runs out");
                    }
                }
            }
        }
    }
    workers.wait().await;
    if let Err(error) = ownership.leave().await {
        tracing::warn!(%error, "the buckets could not be given back; their leases run out");
    }
}
