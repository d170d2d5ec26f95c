//! How an operator's request can fail.

use std::error::Error as StdError;
use std::time::Duration;

use headgate_runtime::mysql;

use crate::auth::Role;
use crate::http::problem::FieldError;

/// A request was not answered as hoped.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No token, or one that nobody has.
    #[error("a valid operator token is required")]
    Unauthenticated,
    /// A token of too low a role.
    #[error("this needs the role {needed}; the token's role is {held}")]
    Forbidden {
        /// What it takes.
        needed: Role,
        /// What was presented.
        held: Role,
    },
    /// Wrong path, query or body.
    #[error("the request is not valid")]
    Invalid(Vec<FieldError>),
    /// The body is too large.
    #[error("the body is larger than {bytes_max} bytes")]
    TooLarge {
        /// Most bytes.
        bytes_max: usize,
    },
    /// Nothing has this id.
    #[error("there is no {what} `{id}`")]
    NotFound {
        /// Kind of thing.
        what: &'static str,
        /// Which one was asked for.
        id: String,
    },
    /// No such path.
    #[error("there is nothing at this path")]
    NoRoute,
    /// The path exists, but not with this method.
    #[error("this path does not take this method")]
    MethodNotAllowed,
    /// More requests at once than this listener takes.
    #[error("too many requests at once")]
    Busy,
    /// The answer took too long. What was being written is rolled back, unless its
    /// commit was under way: the audit log tells.
    #[error("there was no answer within {0:?}")]
    Timeout(Duration),
    /// Dead letters.
    #[error(transparent)]
    DeadLetters(#[from] headgate_dead_letters::Error),
    /// A group's terminal action.
    #[error(transparent)]
    Groups(#[from] headgate_groups::Error),
    /// Campaigns and partners.
    #[error(transparent)]
    Domain(#[from] headgate_domain::Error),
    /// The admission state.
    #[error(transparent)]
    Admission(#[from] headgate_admission::Error),
    /// MySQL.
    #[error("the database does not do what it was asked")]
    Database(#[from] sqlx::Error),
    /// The schema registry.
    #[error("the schemas cannot be read")]
    Registry(#[from] headgate_runtime::registry::Error),
    /// Kafka.
    #[error("Kafka does not do what it was asked")]
    Kafka(#[from] rdkafka::error::KafkaError),
    /// A fault of the code.
    #[error("{0}")]
    Internal(&'static str),
}

impl Error {
    /// The database error at the root, if there is one.
    fn database(&self) -> Option<&sqlx::Error> {
        let mut cause: Option<&(dyn StdError + 'static)> = Some(self);
        while let Some(error) = cause {
            if let Some(found) = error.downcast_ref::<sqlx::Error>() {
                return Some(found);
            }
            cause = error.source();
        }
        None
    }

    /// Whether the cause is a server that is away, so that asking again may help.
    pub fn is_unavailable(&self) -> bool {
        if let Some(error) = self.database() {
            return mysql::fault(error).is_systemic();
        }
        match self {
            Self::Registry(error) => {
                matches!(error, headgate_runtime::registry::Error::Unavailable(_))
            }
            Self::Admission(headgate_admission::Error::Redis(_))
            | Self::Kafka(_)
            | Self::Busy
            | Self::Timeout(_) => true,
            _ => false,
        }
    }
}
