//! How an operator's request can fail, and what each failure is to whoever asked.

use std::error::Error as StdError;
use std::time::Duration;

use headgate_admission as admission;
use headgate_dead_letters as letters;
use headgate_domain as domain;
use headgate_domain::campaigns::Refusal;
use headgate_runtime::{lock, mysql, registry};
use headgate_schemas::ids::WalletId;

use crate::auth::Role;
use crate::http::code::Code;
use crate::http::problem::FieldError;

/// A request was not answered as hoped.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No token, or one that nobody has.
    #[error("`Authorization: Bearer` with a token of this listener is required")]
    TokenRequired,
    /// A token of too low a role.
    #[error("this needs the role {needed}; the token's role is {held}")]
    RoleMissing {
        /// What it takes.
        needed: Role,
        /// What was presented.
        held: Role,
    },
    /// Not JSON.
    #[error("the body is not JSON: {0}")]
    MalformedBody(String),
    /// Not `application/json`.
    #[error("the content type has to be application/json")]
    UnsupportedMediaType,
    /// Wrong fields of the body.
    #[error("{}", wrong(.0))]
    InvalidBody(Vec<FieldError>),
    /// Wrong parts of the path or the query.
    #[error("{}", wrong(.0))]
    InvalidParameter(Vec<FieldError>),
    /// The body is too large.
    #[error("the body has more than {bytes_max} bytes")]
    BodyTooLarge {
        /// Most bytes.
        bytes_max: usize,
    },
    /// Nothing has this id.
    #[error("there is no {what} `{id}`")]
    NotFound {
        /// Kind of thing.
        what: Thing,
        /// Which one was asked for.
        id: String,
    },
    /// No such path.
    #[error("there is nothing at this path")]
    RouteNotFound,
    /// The path exists, but not with this method.
    #[error("this path does not take this method")]
    MethodNotAllowed,
    /// More requests at once than this listener takes.
    #[error("too many requests at once")]
    Overloaded,
    /// The answer took too long. What was being written is rolled back, unless its
    /// commit was under way: the audit log tells.
    #[error("there was no answer within {0:?}")]
    Timeout(Duration),
    /// The inbox no longer knows what was applied so long ago.
    #[error("the inbox reaches back to {}: what is older would be applied again",
        .oldest_day.map_or_else(|| "no day yet".to_owned(), |day| day.to_string()))]
    OffsetsTooOld {
        /// The oldest day the inbox knows.
        oldest_day: Option<chrono::NaiveDate>,
    },
    /// Nothing is known of what was published.
    #[error(
        "a relay runs that keeps no archive (relay.archive = false): what was published is not known, and the pipe cannot be reconciled"
    )]
    ArchiveOff,
    /// The group is running.
    #[error("the group has {members} running members: stop them first")]
    GroupRunning {
        /// How many.
        members: usize,
    },
    /// Dead letters.
    #[error(transparent)]
    DeadLetters(#[from] letters::Error),
    /// A group's terminal action.
    #[error(transparent)]
    Groups(#[from] headgate_groups::Error),
    /// Campaigns and partners.
    #[error(transparent)]
    Domain(#[from] domain::Error),
    /// The outbox.
    #[error(transparent)]
    Outbox(#[from] headgate_outbox::Error),
    /// The admission state.
    #[error(transparent)]
    Admission(#[from] admission::Error),
    /// The locks in Redis.
    #[error(transparent)]
    Locks(#[from] lock::Error),
    /// MySQL.
    #[error("the database does not do what it was asked")]
    Database(#[from] sqlx::Error),
    /// The schema registry.
    #[error("the schemas cannot be read")]
    Registry(#[from] registry::Error),
    /// Kafka.
    #[error("Kafka does not do what it was asked")]
    Kafka(#[from] rdkafka::error::KafkaError),
    /// A wallet's ledger contradicts itself.
    #[error("the ledger of wallet {0} contradicts itself; nothing was changed")]
    LedgerDamaged(WalletId),
    /// A fault of the code.
    #[error("{0}")]
    Internal(&'static str),
}

fn wrong(fields: &[FieldError]) -> String {
    let fields: Vec<_> = fields
        .iter()
        .map(|wrong| format!("{}: {}", wrong.field, wrong.detail))
        .collect();
    fields.join("; ")
}

/// Something that was asked for by its id.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Thing {
    /// A campaign.
    Campaign,
    /// A partner.
    Partner,
    /// A key that holds.
    ApiKey,
    /// A consumer group.
    Group,
    /// A blocked row of an aggregate.
    Blocked,
    /// A lock that is held.
    Lock,
    /// A user's wallet.
    Wallet,
    /// A delivery to a partner.
    Delivery,
    /// A partner's subscription.
    Subscription,
}

impl std::fmt::Display for Thing {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Campaign => "campaign",
            Self::Partner => "partner",
            Self::ApiKey => "API key that holds",
            Self::Group => "consumer group",
            Self::Blocked => "blocked row of",
            Self::Lock => "lock that is held",
            Self::Wallet => "wallet",
            Self::Delivery => "delivery",
            Self::Subscription => "subscription",
        })
    }
}

impl Error {
    /// The kind of problem it is.
    pub fn code(&self) -> Code {
        match self {
            Self::TokenRequired => Code::TokenRequired,
            Self::RoleMissing { .. } => Code::RoleMissing,
            Self::MalformedBody(_) => Code::MalformedBody,
            Self::UnsupportedMediaType => Code::UnsupportedMediaType,
            Self::InvalidBody(_)
            | Self::DeadLetters(letters::Error::Reason | letters::Error::Unchanged(_)) => Code::InvalidBody,
            Self::InvalidParameter(_) => Code::InvalidParameter,
            Self::BodyTooLarge { .. } => Code::BodyTooLarge,
            Self::NotFound { what, .. } => match what {
                Thing::Campaign => Code::CampaignNotFound,
                Thing::Partner => Code::PartnerNotFound,
                Thing::ApiKey => Code::ApiKeyNotFound,
                Thing::Group => Code::GroupNotFound,
                Thing::Blocked => Code::NothingBlocked,
                Thing::Lock => Code::LockNotHeld,
                Thing::Wallet => Code::WalletNotFound,
                Thing::Delivery => Code::DeliveryNotFound,
                Thing::Subscription => Code::SubscriptionNotFound,
            },
            Self::LedgerDamaged(_) => Code::LedgerDamaged,
            Self::RouteNotFound => Code::RouteNotFound,
            Self::MethodNotAllowed => Code::MethodNotAllowed,
            Self::Overloaded => Code::Overloaded,
            Self::Timeout(_) => Code::RequestTimeout,
            Self::OffsetsTooOld { .. } => Code::OffsetsTooOld,
            Self::ArchiveOff => Code::ArchiveOff,
            Self::GroupRunning { .. } => Code::GroupRunning,
            Self::DeadLetters(letters::Error::NotFound(_)) => Code::DeadLetterNotFound,
            Self::DeadLetters(letters::Error::NotOpen { .. }) => Code::DeadLetterNotOpen,
            Self::DeadLetters(letters::Error::NotArchived { .. }) => Code::DeadLetterNotArchived,
            Self::DeadLetters(letters::Error::Parked { .. }) => Code::DeadLetterParked,
            Self::DeadLetters(letters::Error::Edited { .. }) => Code::DeadLetterEdited,
            Self::DeadLetters(letters::Error::EditsSpent(_)) => Code::DeadLetterEditsSpent,
            Self::DeadLetters(letters::Error::TooOld(_)) => Code::DeadLetterTooOld,
            Self::DeadLetters(letters::Error::UnknownTopic(_)) => Code::DeadLetterTopicUnknown,
            Self::DeadLetters(letters::Error::ReplayNotFound(_)) => Code::ReplayNotFound,
            Self::DeadLetters(letters::Error::ReplayState { .. }) => Code::ReplayState,
            Self::DeadLetters(letters::Error::PlanTooLarge { .. }) => Code::ReplayTooLarge,
            Self::Domain(domain::Error::Campaign(Refusal::NotOpen { .. })) => Code::CampaignNotOpen,
            Self::Domain(domain::Error::Campaign(Refusal::Ended)) => Code::CampaignEnded,
            Self::Domain(domain::Error::Campaign(Refusal::QuotaLowered { .. })) => Code::QuotaLowered,
            Self::DeadLetters(_)
            | Self::Groups(_)
            | Self::Domain(_)
            | Self::Outbox(_)
            | Self::Admission(_)
            | Self::Locks(_)
            | Self::Database(_)
            | Self::Registry(_)
            | Self::Kafka(_)
            | Self::Internal(_) => {
                if self.is_unavailable() {
                    Code::ServiceUnavailable
                } else {
                    Code::Internal
                }
            }
        }
    }

    /// Every wrong field.
    pub fn fields(self) -> Vec<FieldError> {
        match self {
            Self::InvalidBody(fields) | Self::InvalidParameter(fields) => fields,
            Self::DeadLetters(error @ letters::Error::Reason) => {
                vec![FieldError::new("reason", error.to_string())]
            }
            Self::DeadLetters(error @ letters::Error::Unchanged(_)) => {
                vec![FieldError::new("value", error.to_string())]
            }
            _ => Vec::new(),
        }
    }

    /// Whether the cause is a server that is away, so that asking again may help.
    pub fn is_unavailable(&self) -> bool {
        let mut cause: Option<&(dyn StdError + 'static)> = Some(self);
        while let Some(error) = cause {
            if let Some(error) = error.downcast_ref::<sqlx::Error>() {
                return mysql::fault(error).is_systemic();
            }
            cause = error.source();
        }
        matches!(
            self,
            Self::Admission(admission::Error::Redis(_))
                | Self::Locks(_)
                | Self::Registry(registry::Error::Unavailable(_))
                | Self::Outbox(headgate_outbox::Error::Busy { .. })
                | Self::Kafka(_)
        )
    }
}
