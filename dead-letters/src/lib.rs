//! Dead letters: what a consumer group could not apply, kept byte for byte in MySQL
//! until an operator replays or discards it.
//!
//! `open -> replaying -> resolved | open | quarantined`, `open | quarantined -> archived`,
//! `archived | quarantined -> open`, and all but `replaying` and `resolved` to `discarded`.
//! Later events of a letter's key wait behind it as letters of their own, see [`park`].
//! What goes to the group is the letter's newest edit, or its record as it came, see [`edit`].
//!
//! | who | what |
//! | --- | --- |
//! | the consumer, in the transaction of its batch | [`park::held`], [`bury::bury`] |
//! | an operator | [`store::list`], [`store::groups`], [`store::show`], [`replay::replay`], [`replay::plan`], [`replay::act`], [`archive::archive`], [`archive::restore`], [`edit::edit`], [`discard::begin`] |
//! | the runner of replays | [`replay::step::step`] |
//! | the retention of archived letters | [`discard::begin_expired`] |
//! | the consumer, on a record of the retry topic | [`attempt::take`], then [`attempt::resolve`] or [`attempt::fail`] |
//! | the consumer, when a letter with successors is settled | [`park::releasable`], then [`park::take`] and [`park::resolve`] or [`park::head`] |

pub mod archive;
pub mod attempt;
pub mod bury;
pub mod difference;
pub mod discard;
pub mod edit;
mod envelope;
pub mod filter;
mod fingerprint;
pub mod groups;
pub mod letter;
pub mod park;
pub mod replay;
mod resolve;
mod retry;
pub mod store;

pub use bury::{NewLetter, SourceRecord};
pub use difference::{Change, Difference};
pub use filter::{ErrorPart, LetterFilter};
pub use fingerprint::Fingerprint;
pub use letter::{Content, Disposition, Edit, HistoryLine, Letter, LetterState, LetterSummary, Queued};
pub use store::{Order, Page, Slice};

/// What was asked of a dead letter could not be done.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No letter has this id.
    #[error("there is no dead letter {0}")]
    NotFound(headgate_schemas::ids::DeadLetterId),
    /// The letter is in a state that does not allow it.
    #[error("dead letter {letter_id} is {state}, not open")]
    NotOpen {
        /// Which letter.
        letter_id: headgate_schemas::ids::DeadLetterId,
        /// Its state.
        state: LetterState,
    },
    /// The letter is in a state that it cannot be restored from.
    #[error("dead letter {letter_id} is {state}, neither archived nor quarantined")]
    NotArchived {
        /// Which letter.
        letter_id: headgate_schemas::ids::DeadLetterId,
        /// Its state.
        state: LetterState,
    },
    /// Another letter of its key stands before it.
    #[error("dead letter {letter_id} comes after {first} of the same key: replay or discard that one first")]
    Parked {
        /// Which letter.
        letter_id: headgate_schemas::ids::DeadLetterId,
        /// The first letter of the key.
        first: headgate_schemas::ids::DeadLetterId,
    },
    /// It was edited since whoever edits it looked.
    #[error("dead letter {letter_id} was edited meanwhile: its newest edit is {edit_no}")]
    Edited {
        /// Which letter.
        letter_id: headgate_schemas::ids::DeadLetterId,
        /// Its newest edit; 0 if it has none.
        edit_no: u32,
    },
    /// It was edited as often as a letter can be.
    #[error("dead letter {0} was edited {max} times: it can only be replayed or discarded", max = edit::EDITS_MAX)]
    EditsSpent(headgate_schemas::ids::DeadLetterId),
    /// An edit would change nothing.
    #[error("this is what dead letter {0} holds already")]
    Unchanged(headgate_schemas::ids::DeadLetterId),
    /// The inbox no longer knows the event, so that a replay could not be told from a
    /// repetition.
    #[error("dead letter {0} is older than the inbox: it can only be discarded")]
    TooOld(headgate_schemas::ids::DeadLetterId),
    /// Its topic is not in the catalogue, so that there is no retry topic.
    #[error("`{0}` is no topic of this installation")]
    UnknownTopic(String),
    /// No replay has this id.
    #[error("there is no replay {0}")]
    ReplayNotFound(headgate_schemas::ids::ReplayId),
    /// The replay is in a state that does not allow it.
    #[error("replay {replay_id} is {state}: it cannot be {act}")]
    ReplayState {
        /// Which replay.
        replay_id: headgate_schemas::ids::ReplayId,
        /// Its state.
        state: replay::ReplayState,
        /// What was asked of it: `started`, `paused`, ...
        act: &'static str,
    },
    /// More letters match than one replay takes.
    #[error("more than {letters_max} letters match: narrow the filter")]
    PlanTooLarge {
        /// Most letters of a replay.
        letters_max: u32,
    },
    /// A stored plan cannot be read.
    #[error("the stored plan of a replay cannot be read")]
    Plan(#[from] serde_json::Error),
    /// A reason is required.
    #[error("a reason of 1 to {max} characters is required", max = discard::REASON_CHARS_MAX)]
    Reason,
    /// Stored bytes cannot be read.
    #[error("the stored headers of a dead letter cannot be read")]
    Headers(#[from] headgate_schemas::headers::InvalidHeaders),
    /// The copy for Kafka could not be written.
    #[error("the copy of a dead letter cannot be written to the outbox")]
    Outbox(#[from] headgate_outbox::Error),
    /// MySQL.
    #[error("the dead letters cannot be read or written")]
    Database(#[from] sqlx::Error),
}

impl Error {
    /// The database's error, wherever it came up.
    pub const fn database(&self) -> Option<&sqlx::Error> {
        match self {
            Self::Database(error) | Self::Outbox(headgate_outbox::Error::Database(error)) => Some(error),
            _ => None,
        }
    }
}
