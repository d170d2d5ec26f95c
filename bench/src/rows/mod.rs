//! The rows of the table, one file each.

pub mod backlog;
pub mod bare;
pub mod claims;
pub mod consumer;
pub mod debezium;
pub mod disk;
pub mod latency;
pub mod outbox;
pub mod plain_loop;
pub mod relay_drain;
pub mod sold_out;
