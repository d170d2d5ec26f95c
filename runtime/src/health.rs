//! The health listener of a process: `/health/live`, `/health/ready`, `/metrics`. It
//! is apart from the public listener, so that nobody outside reads it.

use std::future::{Future, IntoFuture};
use std::io::Write;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use metrics_exporter_prometheus::PrometheusHandle;
use tokio::net::TcpListener;

use crate::shutdown::{CancellationToken, stopped_within};

/// Longest that one readiness check may take.
const CHECK_TIMEOUT: Duration = Duration::from_secs(2);

type Check = Arc<dyn Fn() -> Pin<Box<dyn Future<Output = Result<(), String>> + Send>> + Send + Sync>;

/// What readiness asks: one named check for each dependency without which no request
/// can be answered.
#[derive(Clone, Default)]
pub struct Readiness {
    checks: Vec<(&'static str, Check)>,
}

impl Readiness {
    /// Adds a check. Its error is shown to whoever asks.
    #[must_use]
    pub fn check<F, R>(mut self, name: &'static str, check: F) -> Self
    where
        F: Fn() -> R + Send + Sync + 'static,
        R: Future<Output = Result<(), String>> + Send + 'static,
    {
        self.checks.push((name, Arc::new(move || Box::pin(check()))));
        self
    }

    /// Adds the check that MySQL answers.
    #[must_use]
    pub fn mysql(self, pool: &sqlx::MySqlPool) -> Self {
        let pool = pool.clone();
        self.check("mysql", move || {
            let pool = pool.clone();
            async move {
                sqlx::query("SELECT 1")
                    .execute(&pool)
                    .await
                    .map(drop)
                    .map_err(|error| error.to_string())
            }
        })
    }

    /// Runs the checks: whether all passed, and what each said.
    async fn run(&self) -> (bool, serde_json::Map<String, serde_json::Value>) {
        let outcomes = futures::future::join_all(self.checks.iter().map(|(name, check)| async move {
            let outcome = tokio::time::timeout(CHECK_TIMEOUT, check()).await;
            (
                *name,
                outcome.unwrap_or_else(|_| Err("no answer in time".to_owned())),
            )
        }))
        .await;
        let ready = outcomes.iter().all(|(_, outcome)| outcome.is_ok());
        let said = outcomes
            .into_iter()
            .map(|(name, outcome)| {
                (
                    name.to_owned(),
                    outcome.err().unwrap_or_else(|| "ok".to_owned()).into(),
                )
            })
            .collect();
        (ready, said)
    }
}

#[derive(Clone)]
struct Health {
    readiness: Readiness,
    metrics: PrometheusHandle,
    stop: CancellationToken,
}

/// The routes of the health listener.
pub fn router(readiness: Readiness, metrics: PrometheusHandle, stop: CancellationToken) -> Router {
    Router::new()
        .route("/health/live", get(|| async { "ok" }))
        .route("/health/ready", get(ready))
        .route(
            "/metrics",
            get(|State(health): State<Health>| async move { health.metrics.render() }),
        )
        .with_state(Health {
            readiness,
            metrics,
            stop,
        })
}

async fn ready(State(health): State<Health>) -> Response {
    let (ready, mut said) = health.readiness.run().await;
    let stopping = health.stop.is_cancelled();
    if stopping {
        said.insert("process".to_owned(), "stopping".into());
    }
    let status = if ready && !stopping {
        StatusCode::OK
    } else {
        StatusCode::SERVICE_UNAVAILABLE
    };
    (status, Json(said)).into_response()
}

/// A listener that is bound, so that its address is known before it serves.
pub async fn bind(address: SocketAddr) -> std::io::Result<(TcpListener, SocketAddr)> {
    let listener = TcpListener::bind(address).await?;
    let bound = listener.local_addr()?;
    Ok((listener, bound))
}

/// Says where a service listens: in the log for people, and as one line of JSON on
/// stdout, the only one there, for whoever started it with port 0.
pub fn announce(service: &str, http: Option<SocketAddr>, health: SocketAddr) {
    tracing::info!(service, http = http.map(|http| http.to_string()), %health, "listening");
    let mut line = serde_json::json!({"event": "listening", "service": service, "health": health});
    if let Some(http) = http {
        line["http"] = serde_json::json!(http);
    }
    // Nobody has to read it: a closed stdout is no reason not to serve.
    let _unread = writeln!(std::io::stdout().lock(), "{line}");
}

/// How often histograms are folded: between scrapes every recorded value is kept.
const UPKEEP_EVERY: Duration = Duration::from_secs(5);

/// Serves the health listener until stopped.
pub async fn serve(
    listener: TcpListener,
    readiness: Readiness,
    metrics: PrometheusHandle,
    stop: CancellationToken,
) -> std::io::Result<()> {
    let routes = router(readiness, metrics.clone(), stop.clone());
    let upkeep = async {
        while !stopped_within(&stop, UPKEEP_EVERY).await {
            metrics.run_upkeep();
        }
    };
    let serving = axum::serve(listener, routes).with_graceful_shutdown(stop.clone().cancelled_owned());
    let (served, ()) = tokio::join!(serving.into_future(), upkeep);
    served
}
