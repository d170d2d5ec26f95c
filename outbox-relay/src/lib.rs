//! The relay of Headgate: what transactions left in the outbox goes to Kafka, at least
//! once, in the order of commits for each aggregate.
//!
//! Buckets of the outbox are leased in MySQL and spread over the living relays
//! ([`ownership`]). A few workers each do rounds over their buckets ([`publisher`]): read
//! a batch from the beginning of each bucket, check it ([`checks`]), send it
//! ([`producer`], [`record`]), wait for the acknowledgements, and take what was
//! acknowledged out of the outbox in one transaction under the leases.
//!
//! **Invariant:** a row leaves the outbox only after Kafka acknowledged it and every
//! earlier row of its aggregate, or when it is blocked with all that follow it.
//!
//! [`Service::build`] makes it, [`Service::run_until`] runs it.

mod attempts;
mod backlog;
pub mod batch;
pub mod checks;
pub mod config;
pub mod ownership;
pub mod producer;
pub mod publisher;
pub mod record;
mod service;
mod spans;
mod unarchived;
mod wakeup;
mod worker;

pub use config::Config;
pub use service::{Addresses, BuildError, RunError, Service};

/// A round could not be finished. What it left undone is done by a later one.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// MySQL.
    #[error("the outbox cannot be worked on")]
    Outbox(#[from] headgate_outbox::Error),
    /// MySQL: leases, or no connection.
    #[error("MySQL cannot be used")]
    Database(#[from] sqlx::Error),
    /// The producer cannot be made.
    #[error("the producer cannot be made")]
    Producer(#[from] rdkafka::error::KafkaError),
}
