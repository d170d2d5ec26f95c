//! What a failed attempt asks of the runner. One place decides whether a fault lies in
//! the data or around it, and it never looks at texts.

use headgate_runtime::mysql::{self, Fault};
use headgate_runtime::registry;

/// Why an attempt failed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Cause {
    #[error("the group could not apply the batch")]
    Group(#[from] headgate_groups::Error),
    #[error("the dead letters could not be written")]
    Letters(#[from] headgate_dead_letters::Error),
    #[error("the transaction failed")]
    Database(#[from] sqlx::Error),
    #[error("the schema of a record cannot be had")]
    Registry(#[from] registry::Error),
    #[error("the transaction took longer than {seconds} s")]
    TooSlow { seconds: u64 },
    #[error("the group asks for more time")]
    NotYet,
    #[error("an event of the batch fails before a later one of its key")]
    Overtaken,
    #[error("the inbox does not say of an event what its letter says")]
    InboxDisagrees,
    #[error("a letter of several is rejected")]
    OneRejected,
    #[error("as many letters are parked as may be")]
    ParkingFull,
}

/// What it asks of the runner.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Deadlock or lock wait: the whole batch again, soon.
    Contention,
    /// Something around the data is broken: wait for it, for as long as it takes.
    Systemic,
    /// It lies in the events: find the one, and set it aside.
    Data,
    /// The event must wait behind a dead letter, and there is no room: wait for an operator.
    Full,
}

#[derive(Debug)]
pub(crate) struct Failure {
    pub kind: Kind,
    pub cause: Cause,
}

impl Failure {
    /// Whether a smaller transaction may succeed where this one did not.
    pub(crate) const fn is_eased_by_less(&self) -> bool {
        matches!(self.kind, Kind::Contention) || matches!(self.cause, Cause::TooSlow { .. })
    }
}

impl Cause {
    fn kind(&self) -> Kind {
        match self {
            Self::Group(error) => of_database(error.database()),
            Self::Letters(error) => of_database(error.database()),
            Self::Database(error) => of_database(Some(error)),
            Self::Registry(_) | Self::TooSlow { .. } => Kind::Systemic,
            Self::NotYet | Self::Overtaken | Self::OneRejected | Self::InboxDisagrees => Kind::Data,
            Self::ParkingFull => Kind::Full,
        }
    }
}

/// `None`: the error is not of the database, but of the change itself.
fn of_database(error: Option<&sqlx::Error>) -> Kind {
    let Some(error) = error else { return Kind::Data };
    match mysql::fault(error) {
        Fault::Contention => Kind::Contention,
        Fault::Unavailable => Kind::Systemic,
        // The server understood and refuses for a reason that no event has: a missing
        // table, a missing right. Every event would fail alike.
        Fault::Internal if matches!(error, sqlx::Error::Database(_)) => Kind::Systemic,
        // A duplicate is found by whoever looks again: the next attempt reads first.
        Fault::Duplicate | Fault::Data | Fault::Internal => Kind::Data,
    }
}

impl<C: Into<Cause>> From<C> for Failure {
    fn from(cause: C) -> Self {
        let cause = cause.into();
        Self {
            kind: cause.kind(),
            cause,
        }
    }
}
