//! The rows of the table, one file each.

pub mod admitted;
pub mod api_key_check;
pub mod backlog;
pub mod bare;
pub mod claims;
pub mod consumer;
pub mod dead_letters;
pub mod debezium;
pub mod disk;
pub mod latency;
pub mod letters;
pub mod lock;
pub mod noisy_neighbour;
pub mod operator;
pub mod outbox;
pub mod plain_loop;
pub mod points;
pub mod relay_drain;
pub mod replay;
pub mod sold_out;
