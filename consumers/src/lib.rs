//! The consumers of Headgate: each group reads its topics, applies what they say to
//! MySQL in batches, and sets aside what it cannot apply as dead letters. The
//! background jobs run here too.
//!
//! [`Service::build`] makes it, [`Service::run_until`] runs it; [`runner`] is the part
//! that turns records into rows.

pub mod config;
mod gauges;
mod jobs;
mod measure;
mod notify;
pub mod runner;
mod service;

pub use config::Config;
pub use service::{Addresses, BuildError, RunError, Service};
