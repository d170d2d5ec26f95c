//! What happens to every request before and after its handler.

use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::extract::{MatchedPath, Request, State};
use axum::http::header;
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use headgate_runtime::{telemetry, trace};
use tokio::sync::Semaphore;
use tracing::Instrument;

use crate::Error;
use crate::auth::{Operator, Tokens};

/// Largest body that is read, in bytes.
pub const BODY_BYTES_MAX: usize = 64 * 1024;
/// Route of a request that no route matched, in metrics.
const NO_ROUTE: &str = "none";
/// What stands before a token.
const BEARER: &str = "Bearer ";

/// Counts, times, traces and logs a request.
pub async fn observe(request: Request, next: Next) -> Response {
    let begin = Instant::now();
    let route = request
        .extensions()
        .get::<MatchedPath>()
        .map_or_else(|| NO_ROUTE.to_owned(), |path| path.as_str().to_owned());
    let method = request.method().clone();
    let span = tracing::info_span!("operator_request", %method, route);
    let incoming: Option<Arc<str>> = trace::incoming(request.headers()).map(Arc::from);
    telemetry::set_parent(&span, incoming.as_deref());
    let in_flight = metrics::gauge!("headgate_http_in_flight");
    in_flight.increment(1);
    let response = trace::within(incoming, next.run(request).instrument(span.clone())).await;
    in_flight.decrement(1);
    let (status, elapsed) = (response.status().as_u16(), begin.elapsed());
    metrics::histogram!("headgate_http_request_seconds", "route" => route, "status" => status.to_string())
        .record(elapsed);
    let operator = response
        .extensions()
        .get::<Operator>()
        .map(|operator| operator.name.clone());
    span.in_scope(|| tracing::info!(status, elapsed_ms = elapsed.as_millis(), operator, "answered"));
    response
}

/// Refuses early what would only wait.
pub async fn limit(State(slots): State<Arc<Semaphore>>, request: Request, next: Next) -> Response {
    let Ok(_slot) = slots.try_acquire() else {
        return Error::Overloaded.into_response();
    };
    next.run(request).await
}

/// Ends what takes too long. Whatever its transaction had written is rolled back.
pub async fn time_out(State(after): State<Duration>, request: Request, next: Next) -> Response {
    tokio::time::timeout(after, next.run(request))
        .await
        .unwrap_or_else(|_| Error::Timeout(after).into_response())
}

/// Lets nobody through without a token.
pub async fn authenticate(State(tokens): State<Tokens>, mut request: Request, next: Next) -> Response {
    let presented = request
        .headers()
        .get(header::AUTHORIZATION)
        .and_then(|value| value.as_bytes().strip_prefix(BEARER.as_bytes()));
    let Some(operator) = presented.and_then(|token| tokens.operator(token)).cloned() else {
        return Error::TokenRequired.into_response();
    };
    request.extensions_mut().insert(operator.clone());
    let mut response = next.run(request).await;
    // For the log line.
    response.extensions_mut().insert(operator);
    response
}
