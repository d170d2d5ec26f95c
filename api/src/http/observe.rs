//! Around every handler: refuses early when there is too much to do, limits the time,
//! survives a panic, traces, measures, and writes problems out.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use axum::extract::{MatchedPath, Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use futures::FutureExt;
use headgate_runtime::{telemetry, trace};
use metrics::Gauge;
use tracing::{Instrument, Span};

use super::RouteMetrics;
use crate::config::Config;
use crate::problem::{Code, Problem, RETRY_AFTER};
use crate::request::PREFER;

/// What is kept between requests.
#[derive(Clone)]
pub struct Observer {
    inner: Arc<Inner>,
}

struct Inner {
    in_flight: AtomicU32,
    in_flight_max: u32,
    in_flight_gauge: Gauge,
    request_timeout: Duration,
    wait_max: Duration,
    problem_base: String,
    traced: bool,
    routes: RouteMetrics,
}

impl Observer {
    /// By the settings.
    pub fn new(config: &Config) -> Self {
        let inner = Inner {
            in_flight: AtomicU32::new(0),
            in_flight_max: config.http.in_flight_max,
            in_flight_gauge: metrics::gauge!("headgate_http_in_flight"),
            request_timeout: config.http.request_timeout,
            wait_max: config.waiting.wait_max,
            problem_base: config.http.problem_base.clone(),
            traced: !config.telemetry.otlp_endpoint.is_empty(),
            routes: RouteMetrics::default(),
        };
        Self {
            inner: Arc::new(inner),
        }
    }
}

/// A request that is counted as long as it lives, answered or abandoned.
struct InFlight<'o>(&'o Inner);

impl<'o> InFlight<'o> {
    fn enter(inner: &'o Inner) -> Option<Self> {
        let before = inner.in_flight.fetch_add(1, Ordering::Relaxed);
        inner.in_flight_gauge.increment(1.0);
        let entered = Self(inner);
        (before < inner.in_flight_max).then_some(entered)
    }
}

impl Drop for InFlight<'_> {
    fn drop(&mut self) {
        self.0.in_flight.fetch_sub(1, Ordering::Relaxed);
        self.0.in_flight_gauge.decrement(1.0);
    }
}

/// The middleware.
pub async fn observe(State(observer): State<Observer>, request: Request, next: Next) -> Response {
    let begun = Instant::now();
    let observer = &*observer.inner;
    let route = request.extensions().get::<MatchedPath>().cloned();
    let incoming: Option<Arc<str>> = trace::incoming(request.headers()).map(Arc::from);
    let span = observer.span(&request, route.as_ref(), incoming.as_deref());
    let handled = observer.handle(request, next).instrument(span);
    let response = trace::within(incoming, handled).await;
    observer
        .routes
        .record(route.as_ref(), response.status(), begun.elapsed());
    response
}

impl Inner {
    /// Spans cost every request something: they are made only if they are sent somewhere.
    fn span(&self, request: &Request, route: Option<&MatchedPath>, incoming: Option<&str>) -> Span {
        if !self.traced {
            return Span::none();
        }
        let route = route.map_or("none", MatchedPath::as_str);
        let method = request.method().as_str();
        let span = tracing::info_span!(
            "http_request",
            otel.name = format!("{method} {route}"),
            otel.kind = "server",
            http.request.method = method,
            http.route = route,
            http.response.status_code = tracing::field::Empty,
        );
        telemetry::set_parent(&span, incoming);
        span
    }

    async fn handle(&self, request: Request, next: Next) -> Response {
        let response = if let Some(_in_flight) = InFlight::enter(self) {
            self.limited(request, next).await
        } else {
            let detail = "this process has as many requests in work as it takes on";
            Problem::try_again(Code::Overloaded, detail, RETRY_AFTER).into_response()
        };
        if self.traced {
            Span::current().record("http.response.status_code", response.status().as_u16());
        }
        self.written_out(response)
    }

    async fn limited(&self, request: Request, next: Next) -> Response {
        let waits = request.headers().contains_key(PREFER);
        let limit = self.request_timeout + if waits { self.wait_max } else { Duration::ZERO };
        let handler = AssertUnwindSafe(next.run(request)).catch_unwind();
        match tokio::time::timeout(limit, handler).await {
            Ok(Ok(response)) => response,
            // The panic's own text is already in the log, by the panic hook.
            Ok(Err(_)) => Problem::internal("the handler panicked").into_response(),
            Err(_) => {
                let detail = "the answer took too long; what was asked may still take effect";
                Problem::try_again(Code::RequestTimeout, detail, RETRY_AFTER).into_response()
            }
        }
    }

    /// Writes a problem out, and logs it if it is ours.
    fn written_out(&self, mut response: Response) -> Response {
        let Some(problem) = response.extensions_mut().remove::<Problem>() else {
            return response;
        };
        let trace_id = problem.trace_id().map_or_else(trace::trace_id, str::to_owned);
        if let Some(cause) = problem.cause() {
            let code = problem.code().as_str();
            if problem.code() == Code::Internal {
                tracing::error!(code, trace_id, cause, "a request failed");
            } else {
                tracing::warn!(code, trace_id, cause, "a request was refused for now");
            }
        }
        let mut written = problem.render(&self.problem_base, &trace_id);
        // Such as `Allow` of a 405, `Location` of an earlier claim.
        for (name, value) in response.headers() {
            if !written.headers().contains_key(name) && name != axum::http::header::CONTENT_LENGTH {
                written.headers_mut().append(name.clone(), value.clone());
            }
        }
        written
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::Router;
    use axum::body::Body;
    use axum::middleware::from_fn_with_state;
    use axum::routing::get;
    use tower::ServiceExt;

    async fn panics() {
        panic!("on purpose");
    }

    async fn never_answers() {
        std::future::pending::<()>().await;
    }

    async fn ask(path: &str, prefer: Option<&str>) -> (u16, String) {
        let mut config = crate::config::load(None).expect("the defaults");
        config.http.request_timeout = Duration::from_millis(20);
        config.waiting.wait_max = Duration::from_millis(20);
        let routes = Router::new()
            .route("/panics", get(panics))
            .route("/never", get(never_answers))
            .layer(from_fn_with_state(Observer::new(&config), observe));
        let mut request = Request::get(path);
        if let Some(prefer) = prefer {
            request = request.header(PREFER, prefer);
        }
        let request = request.body(Body::empty()).expect("a request");
        let response = routes.oneshot(request).await.expect("an answer");
        let status = response.status().as_u16();
        let body = axum::body::to_bytes(response.into_body(), 10_000)
            .await
            .expect("a body");
        let body: serde_json::Value = serde_json::from_slice(&body).expect("JSON");
        (status, body["code"].as_str().expect("a code").to_owned())
    }

    #[tokio::test]
    async fn a_panic_is_a_problem_and_not_a_lost_connection() {
        assert_eq!(ask("/panics", None).await, (500, "internal".to_owned()));
    }

    #[tokio::test]
    async fn every_handler_has_a_limit_also_one_that_was_asked_to_wait() {
        let late = (503, "request-timeout".to_owned());
        assert_eq!(ask("/never", None).await, late);
        assert_eq!(ask("/never", Some("wait=1000")).await, late);
    }
}
