//! What the handlers work with.

use std::sync::Arc;
use std::time::Duration;

use ::redis::aio::ConnectionManager;
use axum::extract::FromRef;
use headgate_admission::Admission;
use headgate_outbox::wake::Waker;
use headgate_outbox::write::EventWriter;
use headgate_runtime::cache::Cache;
use headgate_runtime::clock::DatabaseClock;
use headgate_runtime::lock::LockTable;
use headgate_runtime::process::ProcessNumber;
use headgate_runtime::registry::Registry;
use headgate_runtime::shutdown::{CancellationToken, stopped_within};
use headgate_runtime::{kafka, mysql, redis};
use sqlx::MySqlPool;
use tokio::sync::{MappedMutexGuard, Mutex, MutexGuard, Notify, OnceCell};

use crate::config::Config;
use crate::{BuildError, Error};

/// Name of this service in `processes`, logs and traces.
pub const SERVICE: &str = "operator";

/// Name of the writer of rehearsals in `processes`.
const REHEARSAL: &str = "rehearsal";

/// How often the writer is tried to be made at start.
const PREPARE_EVERY: Duration = Duration::from_secs(5);

/// What the handlers work with. Clones share everything.
#[derive(Clone)]
pub struct Servers {
    /// MySQL.
    pub pool: MySqlPool,
    /// The schema registry.
    pub registry: Registry,
    /// How to reach Kafka.
    pub kafka: Arc<kafka::Config>,
    /// The admission state in Redis.
    pub admission: Admission,
    /// Redis, to tell those who wait for a claim.
    pub redis: ConnectionManager,
    /// The locks in Redis.
    pub locks: LockTable,
    /// What Redis remembers.
    pub cache: Cache,
    /// Wakes the relays.
    pub waker: Waker,
    /// Limits of a request.
    pub config: Arc<Config>,
    /// Wakes the runner of replays.
    pub replays: Arc<Notify>,
    writer: Arc<OnceCell<EventWriter>>,
    /// What rehearsals write is told from the rest by its process number; one at a time.
    rehearsals: Arc<Mutex<Option<EventWriter>>>,
}

impl Servers {
    /// Clients for the configured servers. Nothing is asked yet: a listener that shows
    /// what is wrong must start while something is.
    pub fn new(config: Config) -> Result<Self, BuildError> {
        let connection = redis::connection(&config.redis)?;
        Ok(Self {
            pool: mysql::pool(&config.mysql)?,
            registry: Registry::new(&config.registry)?,
            kafka: Arc::new(config.kafka.clone()),
            redis: connection.clone(),
            locks: LockTable::new(connection.clone(), &config.redis.prefix),
            cache: Cache::new(connection.clone(), &config.redis.prefix),
            admission: Admission::new(connection, &config.redis.prefix, config.admission.clone()),
            waker: Waker::new(&config.redis)?,
            replays: Arc::default(),
            writer: Arc::default(),
            rehearsals: Arc::default(),
            config: Arc::new(config),
        })
    }

    /// Writes events. Not made by [`Servers::new`], because that takes MySQL and the
    /// registry, and looking at letters does not.
    pub async fn writer(&self) -> Result<&EventWriter, Error> {
        self.writer
            .get_or_try_init(|| async {
                let names = self.kafka.names();
                let encoder = self.registry.encoder(&names).await?;
                let process = ProcessNumber::draw(&self.pool, SERVICE).await?;
                Ok(EventWriter::new(encoder, names, process))
            })
            .await
    }

    /// The writer of rehearsals, for one rehearsal: nobody else writes with it meanwhile.
    pub async fn rehearsal_writer(&self) -> Result<MappedMutexGuard<'_, EventWriter>, Error> {
        let writer = self.writer().await?;
        let mut kept = self.rehearsals.lock().await;
        if kept.is_none() {
            let process = ProcessNumber::draw(&self.pool, REHEARSAL).await?;
            *kept = Some(writer.of_process(process));
        }
        MutexGuard::try_map(kept, Option::as_mut)
            .map_err(|_| Error::Internal("the writer of rehearsals is gone"))
    }

    /// Makes the writer as soon as the servers allow it, so that a registry that goes
    /// away later keeps nobody from acting.
    pub async fn prepare(&self, stop: &CancellationToken) {
        while let Err(error) = self.writer().await {
            tracing::warn!(%error, "events cannot be written yet");
            if stopped_within(stop, PREPARE_EVERY).await {
                return;
            }
        }
    }

    /// Now, by MySQL's clock.
    pub async fn now(&self) -> Result<chrono::DateTime<chrono::Utc>, Error> {
        let clock = DatabaseClock::default();
        clock.sample(&self.pool).await?;
        Ok(clock.now())
    }
}

impl FromRef<Servers> for MySqlPool {
    fn from_ref(servers: &Servers) -> Self {
        servers.pool.clone()
    }
}
