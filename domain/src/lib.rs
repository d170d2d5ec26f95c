//! The rules of the business and their SQL, a folder per aggregate. Rules are pure
//! functions; the SQL of an aggregate is in its `store.rs`. No Redis, no Kafka.

pub mod claims;

/// A change could not be made.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// MySQL. The transaction is over: roll it back.
    #[error("the database did not take the change")]
    Database(#[from] sqlx::Error),
    /// Its event could not be written.
    #[error("the event of the change cannot be written")]
    Outbox(#[from] headgate_outbox::Error),
}

impl Error {
    /// The database's error, wherever it came up.
    pub const fn database(&self) -> Option<&sqlx::Error> {
        match self {
            Self::Database(error) | Self::Outbox(headgate_outbox::Error::Database(error)) => Some(error),
            Self::Outbox(headgate_outbox::Error::Encode(_)) => None,
        }
    }
}
