//! `headgate_http_request_seconds{route,status}`: the handles are looked up once for
//! each pair, not for each request.

use std::sync::Arc;
use std::time::Duration;

use ahash::AHashMap;
use arc_swap::ArcSwap;
use axum::extract::MatchedPath;
use axum::http::StatusCode;
use metrics::Histogram;

/// Route of a request that no route matched.
const NO_ROUTE: &str = "none";

type OfRoute = AHashMap<u16, Histogram>;

/// The handles. Routes and statuses are few.
#[derive(Default)]
pub struct RouteMetrics {
    routes: ArcSwap<AHashMap<String, OfRoute>>,
}

impl RouteMetrics {
    /// Records a request.
    pub fn record(&self, route: Option<&MatchedPath>, status: StatusCode, took: Duration) {
        let route = route.map_or(NO_ROUTE, MatchedPath::as_str);
        let routes = self.routes.load();
        let known = routes
            .get(route)
            .and_then(|statuses| statuses.get(&status.as_u16()));
        match known {
            Some(histogram) => histogram.record(took),
            None => self.register(route, status).record(took),
        }
    }

    fn register(&self, route: &str, status: StatusCode) -> Histogram {
        let histogram = metrics::histogram!(
            "headgate_http_request_seconds",
            "route" => route.to_owned(),
            "status" => status.as_str().to_owned(),
        );
        self.routes.rcu(|routes| {
            let mut routes = AHashMap::clone(routes);
            routes
                .entry(route.to_owned())
                .or_default()
                .insert(status.as_u16(), histogram.clone());
            Arc::new(routes)
        });
        histogram
    }
}
