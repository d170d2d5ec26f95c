//! The transactional outbox and the inbox: the only code that touches their tables.

pub mod bucket;
pub mod id;
pub mod inbox;
pub mod multirow;
pub mod wake;
pub mod write;

/// The outbox could not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The event does not fit its schema, or the schemas are not registered.
    #[error("the event cannot be written as Avro")]
    Encode(#[from] headgate_schemas::codec::EncodeError),
    /// MySQL.
    #[error("the outbox cannot be read or written")]
    Database(#[from] sqlx::Error),
    /// Redis: its address cannot be used. (A Redis that is away is no error here.)
    #[error("the relays cannot be woken through Redis")]
    Wake(#[from] redis::RedisError),
}
