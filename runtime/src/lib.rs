//! What every Headgate process stands on: configuration, telemetry, shutdown,
//! connections to MySQL, Redis, Kafka and the schema registry, leases, locks, a cache, the health
//! listener, and the life of a program. No business rule lives here.

pub mod breaker;
pub mod cache;
pub mod clock;
pub mod config;
pub mod crash;
mod error_text;
pub mod health;
pub mod kafka;
pub mod lease;
pub mod lock;
pub mod mysql;
mod no_delay;
pub mod process;
pub mod program;
pub mod redis;
pub mod registry;
pub mod shutdown;
pub mod telemetry;
pub mod trace;

pub use error_text::error_text;
