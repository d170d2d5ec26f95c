//! What happens to every request around its handler, and to the connections below.

pub mod connections;
pub mod observe;
mod route_metrics;

pub use route_metrics::RouteMetrics;
