//! The operator's listener as a service: build, learn its addresses, run until stopped.

use std::net::SocketAddr;

use headgate_runtime::health::{self, Readiness};
use headgate_runtime::shutdown::CancellationToken;
use metrics_exporter_prometheus::PrometheusHandle;
use tokio::net::TcpListener;

use crate::config::Config;
use crate::http::router;
use crate::state::{SERVICE, Servers};
use crate::{reconcile, replays};

/// The listener could not be made.
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
    Registry(#[from] headgate_runtime::registry::Error),
    /// The settings of the outbox's wake-up.
    #[error("the relays cannot be woken")]
    Waker(#[from] headgate_outbox::Error),
}

/// Where a service listens.
#[derive(Clone, Copy, Debug)]
pub struct Addresses {
    /// Operators.
    pub http: SocketAddr,
    /// Health and metrics.
    pub health: SocketAddr,
}

/// The operator's listener, bound and ready to run.
pub struct Service {
    servers: Servers,
    http: TcpListener,
    health: TcpListener,
    addresses: Addresses,
    metrics: PrometheusHandle,
}

impl Service {
    /// Binds the addresses and prepares the clients. `metrics` is what `/metrics` shows.
    pub async fn build(config: Config, metrics: PrometheusHandle) -> Result<Self, BuildError> {
        let (http, http_address) = bind(config.http.listen).await?;
        let (health, health_address) = bind(config.health.listen).await?;
        Ok(Self {
            servers: Servers::new(config)?,
            http,
            health,
            addresses: Addresses {
                http: http_address,
                health: health_address,
            },
            metrics,
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

    /// Serves until stopped, then answers what it has begun.
    pub async fn run_until(self, stop: CancellationToken) -> std::io::Result<()> {
        let readiness = Readiness::default().mysql(&self.servers.pool);
        let routes = router::router(self.servers.clone());
        let watching = Box::pin(reconcile::watch(self.servers.clone(), stop.clone()));
        let replaying = Box::pin(replays::run(self.servers.clone(), stop.clone()));
        let serving = axum::serve(self.http, routes).with_graceful_shutdown(stop.clone().cancelled_owned());
        let preparing = async {
            tokio::select! {
                () = self.servers.prepare(&stop) => {}
                () = stop.cancelled() => {}
            }
        };
        let health = health::serve(self.health, readiness, self.metrics, stop.clone());
        let (served, health, (), (), ()) =
            tokio::join!(serving.into_future(), health, watching, replaying, preparing);
        served.and(health)
    }
}

async fn bind(address: SocketAddr) -> Result<(TcpListener, SocketAddr), BuildError> {
    health::bind(address)
        .await
        .map_err(|source| BuildError::Listen { address, source })
}
