//! What each consumer group does with an event. The runner and the operator's
//! rehearsal call the same functions, inside a transaction of theirs.

mod context;
mod coupon_issuance;
pub mod decode;
mod event;
mod group;
mod notifications;
mod point_balances;

pub use context::Context;
pub use event::{DeadEvent, Event, event_type_text, time_text, traceparent_text};
pub use group::{AfterCommit, Applied, Group, Intent, TerminalAction};

/// A group could not do its work. After it the transaction is over.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Its change could not be made.
    #[error("the group's change cannot be made")]
    Change(#[from] headgate_domain::Error),
    /// Its events could not be written.
    #[error("the group's events cannot be written")]
    Outbox(#[from] headgate_outbox::Error),
}

impl Error {
    /// The database's error, wherever it came up.
    pub const fn database(&self) -> Option<&sqlx::Error> {
        match self {
            Self::Change(error) => error.database(),
            Self::Outbox(headgate_outbox::Error::Database(error)) => Some(error),
            Self::Outbox(_) => None,
        }
    }
}
