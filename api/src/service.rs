//! The api as a service: build, learn its addresses, run until stopped.

use std::net::SocketAddr;
use std::time::Duration;

use backon::{ExponentialBuilder, Retryable};
use headgate_admission::Admission;
use headgate_outbox::wake::Waker;
use headgate_outbox::write::EventWriter;
use headgate_runtime::cache::Cache;
use headgate_runtime::clock::DatabaseClock;
use headgate_runtime::health::{self, Readiness};
use headgate_runtime::lock::Locks;
use headgate_runtime::process::ProcessNumber;
use headgate_runtime::registry::{self, Registry};
use headgate_runtime::shutdown::{CancellationToken, stopped_within};
use headgate_runtime::{mysql, redis as redis_runtime, telemetry};
use headgate_schemas::codec::Encoder;
use metrics_exporter_prometheus::PrometheusHandle;
use sqlx::MySqlPool;
use tokio::net::TcpListener;

use crate::admit::{self, Admitter};
use crate::app::{App, Parts};
use crate::campaign_cache::CampaignCache;
use crate::claims::settled::Settled;
use crate::config::Config;
use crate::http::connections;
use crate::keys::KeyRing;
use crate::members::Members;
use crate::points::{BalanceCache, PolicyCache};
use crate::rate_limits::RateLimits;
use crate::{SERVICE, router};

/// Pauses between attempts to reach a server at start.
const RETRY_FIRST: Duration = Duration::from_millis(50);
const RETRY_LONGEST: Duration = Duration::from_secs(1);
/// Connections for keys and sessions: a flood that takes the others neither keeps a process from
/// hearing which of them have ended, nor a new key from being found.
const IDENTITY_CONNECTIONS: u32 = 4;
/// How often the pools are measured.
const POOLS_EVERY: Duration = Duration::from_secs(1);

/// The api could not be made.
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
    /// MySQL's settings are wrong, or it was away too long.
    #[error("MySQL cannot be used")]
    Mysql(#[from] sqlx::Error),
    /// Redis' settings are wrong.
    #[error("the client of Redis cannot be made")]
    Redis(#[from] ::redis::RedisError),
    /// The registry was away too long, or does not have our schemas.
    #[error("the schema registry cannot be used")]
    Registry(#[from] registry::Error),
    /// The parameters of password hashes are wrong.
    #[error("passwords cannot be hashed")]
    Passwords(#[from] argon2::password_hash::Error),
    /// The wake-up of relays cannot be set up.
    #[error("the relays cannot be woken")]
    Waker(#[from] headgate_outbox::Error),
}

/// Where the api listens.
#[derive(Clone, Copy, Debug)]
pub struct Addresses {
    /// Clients.
    pub http: SocketAddr,
    /// Health and metrics.
    pub health: SocketAddr,
}

/// The api, bound and ready to run.
pub struct Service {
    app: App,
    redis: ::redis::Client,
    claims_pool: MySqlPool,
    admission_stop: CancellationToken,
    http: TcpListener,
    health: TcpListener,
    addresses: Addresses,
    metrics: PrometheusHandle,
    stop: CancellationToken,
}

/// What alerts are on.
const COUNTERS: [&str; 4] = [
    "headgate_coupon_duplicate_total",
    "headgate_mysql_deadlocks_total",
    "headgate_admission_fallbacks_total",
    "headgate_admission_refused_tickets_total",
];

impl Service {
    /// Waits for MySQL and the registry as long as the settings allow, and binds the
    /// addresses. `metrics` is what `/metrics` shows.
    pub async fn build(config: Config, metrics: PrometheusHandle) -> Result<Self, BuildError> {
        telemetry::show_counters(&COUNTERS);
        let pool = mysql::pool(&config.mysql)?;
        let claims_pool = pool_of(&config, config.claims.connections())?;
        let identity_pool = pool_of(&config, IDENTITY_CONNECTIONS)?;
        let process = process_number(&config, &pool).await?;
        let writer = event_writer(&config, process).await?;
        let clock = DatabaseClock::default();
        clock.sample(&pool).await?;
        let redis = redis_runtime::client(&config.redis)?;
        connections::allow_open_files(config.http.connections_max);
        let http = bind(config.http.listen, connections::bind(config.http.listen))?;
        let (health, health_address) = bind(config.health.listen, health::bind(config.health.listen).await)?;
        let http_address = bind(config.http.listen, http.local_addr())?;
        let stop = CancellationToken::new();
        let admission_stop = CancellationToken::new();
        let waker = Waker::new(&config.redis)?;
        let admitter = Admitter::start(
            admit::Parts {
                admission: Admission::new(
                    redis_runtime::connection(&config.redis)?,
                    &config.redis.prefix,
                    config.admission.clone(),
                ),
                pool: claims_pool.clone(),
                writer: writer.clone(),
                waker: waker.clone(),
                clock: clock.clone(),
                limits: config.claims.clone(),
            },
            admission_stop.clone(),
        );
        let keys = key_ring(&config, &identity_pool, &clock).await?;
        let app = App::new(Parts {
            keys,
            members: Members::new(identity_pool, clock.clone(), config.members.clone())?,
            rate_limits: rate_limits(&config)?,
            campaigns: CampaignCache::new(pool.clone(), &config.campaigns),
            policies: PolicyCache::new(pool.clone()),
            balances: balances(&config, &pool)?,
            locks: locks(&config, process)?,
            settled: Settled::new(config.waiting.waiters_max),
            config,
            pool,
            writer,
            waker,
            clock,
            admitter,
            stop: stop.clone(),
        });
        Ok(Self {
            app,
            redis,
            claims_pool,
            admission_stop,
            http,
            health,
            addresses: Addresses {
                http: http_address,
                health: health_address,
            },
            metrics,
            stop,
        })
    }

    /// Where it listens.
    pub const fn addresses(&self) -> Addresses {
        self.addresses
    }

    /// Says on stdout and in the log where it listens.
    pub fn announce(&self) {
        health::announce(SERVICE, Some(self.addresses.http), self.addresses.health);
    }

    /// Serves until stopped. Then it takes no new connections, answers what it has
    /// begun, and settles the claims that are under way.
    pub async fn run_until(self, shutdown: CancellationToken) -> std::io::Result<()> {
        let stop = self.stop.clone();
        let app = self.app.clone();
        let channel = app.config().redis.claims_channel();
        let readiness = Readiness::default().mysql(app.pool());
        let routes = router::router(app.clone());
        let background = async {
            tokio::join!(
                app.clock().keep(app.pool(), &stop),
                app.keys().watch_ends(&stop),
                app.members().tokens.watch(&stop),
                app.settled().listen(&self.redis, &channel, &stop),
                measure_pools(app.pool(), &self.claims_pool, &stop),
            );
        };
        let serving = async {
            let settings = app.config().http.clone();
            connections::serve(self.http, routes, &settings, stop.clone()).await;
            self.admission_stop.cancel();
            app.admitter().drain().await;
        };
        let stopping = async {
            shutdown.cancelled().await;
            stop.cancel();
        };
        let health = health::serve(self.health, readiness, self.metrics, stop.clone());
        let ((), (), (), served) = tokio::join!(background, serving, stopping, health);
        served
    }
}

fn bind<T>(address: SocketAddr, bound: std::io::Result<T>) -> Result<T, BuildError> {
    bound.map_err(|source| BuildError::Listen { address, source })
}

/// So many connections for a purpose of their own.
fn pool_of(config: &Config, connections_max: u32) -> Result<MySqlPool, sqlx::Error> {
    mysql::pool(&mysql::Config {
        connections_max,
        ..config.mysql.clone()
    })
}

/// This process's number. Waits for MySQL.
async fn process_number(config: &Config, pool: &MySqlPool) -> Result<ProcessNumber, BuildError> {
    patiently("MySQL", config.start.timeout, || async {
        Ok(ProcessNumber::draw(pool, SERVICE).await?)
    })
    .await
}

/// Keys of partners, of which it knows those that have ended.
async fn key_ring(config: &Config, pool: &MySqlPool, clock: &DatabaseClock) -> Result<KeyRing, BuildError> {
    let connection = redis_runtime::connection(&config.redis)?;
    let keys = KeyRing::new(
        pool.clone(),
        clock.clone(),
        connection,
        &config.redis.prefix,
        config.keys,
    );
    keys.read_ends().await;
    Ok(keys)
}

/// Balances of points, remembered in Redis.
fn balances(config: &Config, pool: &MySqlPool) -> Result<BalanceCache, BuildError> {
    let connection = redis_runtime::connection(&config.redis)?;
    let cache = Cache::new(connection, &config.redis.prefix);
    let remembered = config.points.balance_remembered;
    Ok(BalanceCache::new(pool.clone(), cache, remembered))
}

/// Rate limits, over a connection that nothing else waits on.
fn rate_limits(config: &Config) -> Result<RateLimits, BuildError> {
    let connection = redis_runtime::connection(&config.redis)?;
    Ok(RateLimits::new(
        connection,
        &config.redis.prefix,
        config.rate_limits.clone(),
    ))
}

/// Locks on wallets, over a connection that nothing else waits on.
fn locks(config: &Config, process: ProcessNumber) -> Result<Locks, BuildError> {
    let connection = redis_runtime::connection(&config.redis)?;
    let holder = format!("{SERVICE}-{}", process.full());
    Ok(Locks::new(
        connection,
        config.lock.clone(),
        &config.redis.prefix,
        &holder,
    ))
}

/// What writes events: needs schema ids from the registry, so it waits for it.
async fn event_writer(config: &Config, process: ProcessNumber) -> Result<EventWriter, BuildError> {
    let registry = Registry::new(&config.registry)?;
    let names = config.kafka.names();
    let limit = config.start.timeout;
    let encoder: Encoder = patiently("the schema registry", limit, || async {
        Ok(registry.encoder(&names).await?)
    })
    .await?;
    Ok(EventWriter::new(encoder, names, process))
}

/// Tries until it works; gives up with the last error when `limit` is used up.
async fn patiently<T, F: Future<Output = Result<T, BuildError>>>(
    what: &'static str,
    limit: Duration,
    attempt: impl FnMut() -> F,
) -> Result<T, BuildError> {
    let pauses = ExponentialBuilder::default()
        .with_min_delay(RETRY_FIRST)
        .with_max_delay(RETRY_LONGEST)
        .with_total_delay(Some(limit))
        .without_max_times();
    let mut told = false;
    let notify = |error: &BuildError, _| {
        let error = crate::problem::of_error::chain(error);
        if std::mem::replace(&mut told, true) {
            tracing::debug!(what, error, "still not there");
        } else {
            tracing::warn!(what, error, "not there yet; waiting for it");
        }
    };
    attempt.retry(pauses).notify(notify).await
}

/// `headgate_db_pool_connections{state}` of both pools together.
async fn measure_pools(pool: &MySqlPool, claims: &MySqlPool, stop: &CancellationToken) {
    let idle = metrics::gauge!("headgate_db_pool_connections", "state" => "idle");
    let in_use = metrics::gauge!("headgate_db_pool_connections", "state" => "in_use");
    loop {
        let size = pool.size() + claims.size();
        let idle_now = u32::try_from(pool.num_idle() + claims.num_idle()).unwrap_or(u32::MAX);
        idle.set(f64::from(idle_now));
        in_use.set(f64::from(size.saturating_sub(idle_now)));
        if stopped_within(stop, POOLS_EVERY).await {
            return;
        }
    }
}
