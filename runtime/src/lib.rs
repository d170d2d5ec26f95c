//! What every Headgate process stands on: configuration, telemetry, shutdown,
//! connections to MySQL, Redis, Kafka and the schema registry, leases, and the
//! health listener. No business rule lives here.

pub mod clock;
pub mod config;
pub mod crash;
pub mod health;
pub mod kafka;
pub mod lease;
pub mod mysql;
mod no_delay;
pub mod process;
pub mod redis;
pub mod registry;
pub mod shutdown;
pub mod telemetry;
