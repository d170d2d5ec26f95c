//! What commits together with an act or not at all: its events in the transactional outbox, the
//! inbox of whoever applies them, and the line of the audit log. The only code that touches their
//! tables.

pub mod archive;
pub mod audit;
pub mod blocked;
pub mod bucket;
pub mod claim;
pub mod id;
pub mod inbox;
pub mod ledger;
pub mod mark;
pub mod multirow;
pub mod partitions;
mod places;
pub mod retention;
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
    /// Somebody else changes partitions for too long.
    #[error("partitions are being changed by somebody else for more than {seconds} s")]
    Busy {
        /// How long was waited.
        seconds: u32,
    },
    /// Redis: its address cannot be used. (A Redis that is away is no error here.)
    #[error("the relays cannot be woken through Redis")]
    Wake(#[from] redis::RedisError),
}
