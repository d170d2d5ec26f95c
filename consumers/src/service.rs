//! The consumers as a service: build, learn its addresses, run until stopped.

use std::net::SocketAddr;
use std::time::Duration;

use headgate_admission::Admission;
use headgate_groups::{Context, Group};
use headgate_outbox::wake::Waker;
use headgate_outbox::write::EventWriter;
use headgate_runtime::cache::Cache;
use headgate_runtime::clock::DatabaseClock;
use headgate_runtime::error_text;
use headgate_runtime::health::{self, Readiness};
use headgate_runtime::process::ProcessNumber;
use headgate_runtime::registry::Registry;
use headgate_runtime::shutdown::{CancellationToken, TaskTracker, stopped_within};
use headgate_runtime::{mysql, redis as connections, registry, telemetry};
use metrics_exporter_prometheus::PrometheusHandle;
use sqlx::MySqlPool;
use tokio::net::TcpListener;
use tokio::task::JoinSet;

use crate::config::Config;
use crate::gauges;
use crate::jobs::{self, Job};
use crate::notify::{self, Sender};
use crate::runner::{self, OutdatedBalances, Settled, Standing, poll};

/// Name in logs and in `processes`.
const SERVICE: &str = "consumers";
/// Pause between two attempts to begin.
const BEGIN_AGAIN_AFTER: Duration = Duration::from_millis(500);
/// What stopping may take beyond the wait for transactions: committing offsets and
/// leaving the groups.
const LEAVE_TIMEOUT: Duration = Duration::from_secs(5);

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
    /// The settings of the outbox's wake-up.
    #[error("the relays cannot be woken")]
    Waker(#[from] headgate_outbox::Error),
    /// The settings of the sender.
    #[error("notifications cannot be sent")]
    Sender(#[from] notify::BuildError),
}

/// The service ended by itself.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// The health listener.
    #[error("the health listener failed")]
    Health(#[from] std::io::Error),
    /// A group's runner.
    #[error("a consumer group cannot go on")]
    Group(#[from] poll::Error),
}

/// Where the service listens.
#[derive(Clone, Copy, Debug)]
pub struct Addresses {
    /// Health and metrics.
    pub health: SocketAddr,
}

/// The clients of the servers.
struct Servers {
    config: Config,
    pool: MySqlPool,
    registry: Registry,
    admission: Admission,
    waker: Waker,
    settled: Settled,
    outdated: OutdatedBalances,
    clock: DatabaseClock,
    sender: Sender,
}

/// The consumers, bound and ready to run.
pub struct Service {
    servers: Servers,
    health: TcpListener,
    addresses: Addresses,
    metrics: PrometheusHandle,
}

/// What alerts are on.
const COUNTERS: [&str; 4] = [
    "headgate_stock_negative_total",
    "headgate_coupon_duplicate_total",
    "headgate_mysql_deadlocks_total",
    "headgate_admission_leaked_total",
];

impl Service {
    /// Binds the health listener and prepares the clients; no server has to be up yet.
    /// `metrics` is what `/metrics` shows.
    pub async fn build(config: Config, metrics: PrometheusHandle) -> Result<Self, BuildError> {
        telemetry::show_counters(&COUNTERS);
        let address = config.health.listen;
        let (health, bound) = health::bind(address)
            .await
            .map_err(|source| BuildError::Listen { address, source })?;
        let connection = connections::connection(&config.redis)?;
        let (pool, clock) = (mysql::pool(&config.mysql)?, DatabaseClock::default());
        let servers = Servers {
            sender: Sender::new(pool.clone(), clock.clone(), config.notifications.clone())?,
            clock,
            pool,
            registry: Registry::new(&config.registry)?,
            admission: Admission::new(connection, &config.redis.prefix, config.admission.clone()),
            waker: Waker::new(&config.redis)?,
            settled: Settled::new(&config.redis)?,
            outdated: OutdatedBalances::new(Cache::new(
                connections::connection(&config.redis)?,
                &config.redis.prefix,
            )),
            config,
        };
        Ok(Self {
            servers,
            health,
            addresses: Addresses { health: bound },
            metrics,
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

    /// Runs until stopped; transactions in hand are finished, within a limit. Ends
    /// early only when a group cannot go on.
    pub async fn run_until(self, stop: CancellationToken) -> Result<(), RunError> {
        // Also cancelled when a part of the service fails.
        let stop = stop.child_token();
        let standings: Vec<(Group, Standing)> = self
            .servers
            .config
            .groups
            .chosen()
            .into_iter()
            .map(|group| (group, Standing::default()))
            .collect();
        let readiness = readiness(&self.servers.pool, &standings);
        let serving = health::serve(self.health, readiness, self.metrics, stop.clone());
        let working = async {
            let worked = self.servers.work(standings, &stop).await;
            stop.cancel();
            worked
        };
        let (served, worked) = tokio::join!(serving, working);
        served?;
        Ok(worked?)
    }
}

/// Ready once every group has taken this process in and knows its place.
fn readiness(pool: &MySqlPool, standings: &[(Group, Standing)]) -> Readiness {
    let of_all = |check: fn(&Standing) -> Result<(), String>| {
        let standings = standings.to_vec();
        move || std::future::ready(of_all_groups(&standings, check))
    };
    Readiness::default()
        .mysql(pool)
        .check("group", of_all(Standing::joined))
        .check("place", of_all(Standing::has_place))
}

/// What the groups say that are not ready, each with its name.
fn of_all_groups(
    standings: &[(Group, Standing)],
    check: fn(&Standing) -> Result<(), String>,
) -> Result<(), String> {
    let faults: Vec<String> = standings
        .iter()
        .filter_map(|(group, standing)| {
            let fault = check(standing).err()?;
            Some(format!("{}: {fault}", group.name()))
        })
        .collect();
    if faults.is_empty() {
        Ok(())
    } else {
        Err(faults.join("; "))
    }
}

/// What has to be read from the servers before any work begins.
struct Begun {
    writer: EventWriter,
    process: ProcessNumber,
}

impl Servers {
    async fn work(
        self,
        standings: Vec<(Group, Standing)>,
        stop: &CancellationToken,
    ) -> Result<(), poll::Error> {
        let clock = self.clock.clone();
        let Some(begun) = self.begin(&clock, stop).await else {
            return Ok(());
        };
        let tasks = TaskTracker::new();
        tasks.spawn({
            let (clock, pool, stop) = (clock.clone(), self.pool.clone(), stop.clone());
            async move { clock.keep(&pool, &stop).await }
        });
        tasks.spawn(gauges::watch(self.pool.clone(), stop.clone()));
        if self.config.jobs.enabled {
            let parts = self.job_parts(&begun, &clock);
            for job in Job::ALL {
                tasks.spawn(job.run(parts.clone(), stop.clone()));
            }
        }
        if self.config.notifications.enabled {
            tasks.spawn(self.sender.clone().run(stop.clone()));
        }
        let parts = runner::Parts {
            pool: self.pool.clone(),
            registry: self.registry.clone(),
            context: Context::new(begun.writer.clone(), clock.now()),
            clock: clock.clone(),
            waker: self.waker.clone(),
            settled: self.settled.clone(),
            outdated: self.outdated.clone(),
            kafka: self.config.kafka.clone(),
            settings: self.config.consumer,
        };
        let mut groups = JoinSet::new();
        for (group, standing) in standings {
            groups.spawn(runner::run(group, parts.clone(), standing, stop.clone()));
        }
        let ended = self.until_ended(groups, stop).await;
        stop.cancel();
        tasks.close();
        if tokio::time::timeout(LEAVE_TIMEOUT, tasks.wait()).await.is_err() {
            tracing::warn!("a background job did not end in time");
        }
        ended
    }

    /// Waits for the groups to end: the first that fails ends all.
    async fn until_ended(
        &self,
        mut groups: JoinSet<Result<(), poll::Error>>,
        stop: &CancellationToken,
    ) -> Result<(), poll::Error> {
        let mut ended = Ok(());
        let all = async {
            while let Some(group) = groups.join_next().await {
                match group {
                    Ok(Ok(())) => {}
                    Ok(Err(error)) => {
                        stop.cancel();
                        ended = Err(error);
                    }
                    Err(panic) => std::panic::resume_unwind(panic.into_panic()),
                }
            }
        };
        let limit = async {
            stop.cancelled().await;
            tokio::time::sleep(self.config.consumer.stop_timeout + LEAVE_TIMEOUT).await;
        };
        tokio::select! {
            () = all => {}
            () = limit => tracing::warn!("a group did not leave in time; what it had in hand comes again"),
        }
        ended
    }

    /// Waits for the servers, for as long as it takes. `None`: stopped meanwhile.
    async fn begin(&self, clock: &DatabaseClock, stop: &CancellationToken) -> Option<Begun> {
        loop {
            match self.try_begin(clock).await {
                Ok(begun) => return Some(begun),
                Err(error) => tracing::warn!(error = error_text(&error), "the consumers cannot begin yet"),
            }
            if stopped_within(stop, BEGIN_AGAIN_AFTER).await {
                return None;
            }
        }
    }

    async fn try_begin(&self, clock: &DatabaseClock) -> Result<Begun, BuildError> {
        let names = self.config.kafka.names();
        let encoder = self.registry.encoder(&names).await?;
        let process = ProcessNumber::draw(&self.pool, SERVICE).await?;
        clock.sample(&self.pool).await?;
        Ok(Begun {
            writer: EventWriter::new(encoder, names, process),
            process,
        })
    }

    fn job_parts(&self, begun: &Begun, clock: &DatabaseClock) -> jobs::Parts {
        jobs::Parts {
            pool: self.pool.clone(),
            admission: self.admission.clone(),
            writer: begun.writer.clone(),
            clock: clock.clone(),
            waker: self.waker.clone(),
            retention: self.config.retention,
            settled: self.settled.clone(),
            settings: self.config.jobs,
            holder: format!("{SERVICE}-{}", begun.process.full()),
        }
    }
}
