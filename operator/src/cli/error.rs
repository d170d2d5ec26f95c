//! How a command can fail, and the exit code that says so to scripts.

use std::error::Error as StdError;

use headgate_runtime::mysql::{self, Fault};
use headgate_runtime::{config, registry};

use crate::topics::admin;

type Source = Box<dyn StdError + Send + Sync>;

/// Exit codes, as `headgate --help` lists them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum ExitCode {
    /// A check found a difference.
    Differs = 1,
    /// Wrong arguments or configuration (clap's own code, too).
    Usage = 2,
    /// A server does not answer.
    Unavailable = 3,
    /// Refused: by a rule, a server, or the operator listener.
    Refused = 4,
    /// Not confirmed.
    NotConfirmed = 5,
}

impl From<ExitCode> for std::process::ExitCode {
    fn from(code: ExitCode) -> Self {
        Self::from(code as u8)
    }
}

/// A command did not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A check found a difference; it is on stdout already.
    #[error("{0}")]
    Differs(String),
    /// Arguments or environment that cannot be used.
    #[error("{0}")]
    Usage(String),
    /// Not confirmed.
    #[error("not confirmed: nothing was done (say --yes to do it without being asked)")]
    NotConfirmed,
    /// Wrong configuration.
    #[error(transparent)]
    Config(#[from] config::Error),
    /// A server does not answer.
    #[error("{0} does not answer")]
    Unavailable(&'static str, #[source] Source),
    /// A server or a rule refused.
    #[error("{0}")]
    Refused(String, #[source] Option<Source>),
    /// Nothing could be printed.
    #[error("the output cannot be written")]
    Output(#[from] std::io::Error),
}

impl Error {
    /// Its exit code.
    pub const fn exit_code(&self) -> ExitCode {
        match self {
            Self::Differs(_) => ExitCode::Differs,
            Self::Config(_) | Self::Usage(_) => ExitCode::Usage,
            Self::NotConfirmed => ExitCode::NotConfirmed,
            Self::Unavailable(..) => ExitCode::Unavailable,
            Self::Refused(..) | Self::Output(_) => ExitCode::Refused,
        }
    }

    /// Says on stderr what failed and why.
    pub fn report(&self) {
        eprintln!("error: {self}");
        let mut cause = self.source();
        while let Some(error) = cause {
            eprintln!("  because: {error}");
            cause = error.source();
        }
    }

    /// Classifies a database error: away, or refused to do `what`.
    pub fn database(what: &str, error: sqlx::Error) -> Self {
        match mysql::fault(&error) {
            Fault::Unavailable | Fault::Contention => Self::Unavailable("MySQL", error.into()),
            Fault::Duplicate | Fault::Data | Fault::Internal => {
                Self::Refused(format!("MySQL refuses to {what}"), Some(error.into()))
            }
        }
    }
}

impl From<sqlx::migrate::MigrateError> for Error {
    fn from(error: sqlx::migrate::MigrateError) -> Self {
        match error {
            sqlx::migrate::MigrateError::Execute(error) => Self::database("migrate", error),
            other => Self::Refused("the migrations cannot be applied".to_owned(), Some(other.into())),
        }
    }
}

impl From<headgate_domain::Error> for Error {
    fn from(error: headgate_domain::Error) -> Self {
        match error {
            headgate_domain::Error::Database(error) => Self::database("read or write partners", error),
            other => Self::Refused("the partner was not made".to_owned(), Some(other.into())),
        }
    }
}

impl From<crate::Error> for Error {
    fn from(error: crate::Error) -> Self {
        if error.is_unavailable() {
            Self::Unavailable("MySQL", error.into())
        } else {
            Self::Refused("the partner was not made".to_owned(), Some(error.into()))
        }
    }
}

impl From<headgate_outbox::Error> for Error {
    fn from(error: headgate_outbox::Error) -> Self {
        match error {
            headgate_outbox::Error::Database(error) => Self::database("make day partitions", error),
            other => Self::Refused("the day partitions were not made".to_owned(), Some(other.into())),
        }
    }
}

impl From<admin::Error> for Error {
    fn from(error: admin::Error) -> Self {
        match error {
            admin::Error::Unavailable(source) => Self::Unavailable("Kafka", source.into()),
            other => Self::Refused("the topics were not changed".to_owned(), Some(other.into())),
        }
    }
}

impl From<registry::Error> for Error {
    fn from(error: registry::Error) -> Self {
        match error {
            registry::Error::Unavailable(source) => Self::Unavailable("the schema registry", source.into()),
            other => Self::Refused("the schemas were not registered".to_owned(), Some(other.into())),
        }
    }
}
