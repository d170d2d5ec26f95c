//! The public api: a request is admitted, made durable with its event, and answered.

pub mod admit;
mod app;
mod campaign_cache;
pub mod campaigns;
pub mod claims;
pub mod config;
pub mod coupons;
mod http;
mod idempotency;
mod keys;
pub mod members;
pub mod openapi;
pub mod points;
pub mod problem;
mod rate_limits;
mod request;
mod router;
mod service;
pub mod subscriptions;
mod transaction;

pub use config::Config;
pub use service::{Addresses, BuildError, Service};

/// The name of this service in logs, metrics and traces.
pub const SERVICE: &str = "api";
