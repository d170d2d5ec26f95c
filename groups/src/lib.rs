//! What each consumer group does with an event. The runner and the operator's
//! rehearsal call the same functions, inside a transaction of theirs.

mod context;
mod event;
mod group;

pub use context::Context;
pub use event::{DeadEvent, Event};
pub use group::{Applied, Group, Intent, TerminalAction};

/// A group could not do its work. After it the transaction is over.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The events could not be written.
    #[error("the group's events cannot be written to the outbox")]
    Outbox(#[from] headgate_outbox::Error),
    /// MySQL.
    #[error("the group's change cannot be written")]
    Database(#[from] sqlx::Error),
}
