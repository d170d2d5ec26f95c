//! The transactional outbox and the inbox: the only code that touches their tables.

pub mod bucket;
pub mod id;
pub mod write;

/// The outbox could not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The event does not fit its schema, or the schemas are not registered.
    #[error("the event cannot be written as Avro")]
    Encode(#[from] headgate_schemas::codec::EncodeError),
    /// MySQL.
    #[error("the outbox cannot be written")]
    Database(#[from] sqlx::Error),
}
