//! What a dead letter is.

use std::fmt;

use chrono::{DateTime, Utc};
use headgate_schemas::headers::RawHeaders;
use headgate_schemas::ids::{DeadLetterId, EventId};
use serde::{Deserialize, Serialize};

use crate::difference::Difference;
use crate::fingerprint::Fingerprint;

/// Why a record became a dead letter.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, sqlx::Type)]
#[serde(rename_all = "lowercase")]
#[sqlx(rename_all = "lowercase")]
pub enum Disposition {
    /// It cannot be read.
    Poison,
    /// A rule rejects it.
    Rejected,
    /// It failed every time it was tried.
    Exhausted,
    /// It waits behind another letter of its key.
    Parked,
}

impl Disposition {
    /// The word in MySQL, in headers and for people.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Poison => "poison",
            Self::Rejected => "rejected",
            Self::Exhausted => "exhausted",
            Self::Parked => "parked",
        }
    }
}

impl fmt::Display for Disposition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Where a letter is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, sqlx::Type)]
#[serde(rename_all = "lowercase")]
#[sqlx(rename_all = "lowercase")]
pub enum LetterState {
    /// Waits for an operator.
    Open,
    /// On its way through the retry topic.
    Replaying,
    /// A replay applied it.
    Resolved,
    /// An operator gave it up.
    Discarded,
    /// Out of sight and of replays.
    Archived,
    /// Its replays kept failing: no replay by filter takes it.
    Quarantined,
}

impl LetterState {
    /// The word in MySQL and for people.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Replaying => "replaying",
            Self::Resolved => "resolved",
            Self::Discarded => "discarded",
            Self::Archived => "archived",
            Self::Quarantined => "quarantined",
        }
    }
}

impl fmt::Display for LetterState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A letter without the record's value: what a list shows.
#[derive(Clone, Debug, Serialize)]
pub struct LetterSummary {
    /// The letter.
    pub letter_id: DeadLetterId,
    /// The group that could not apply the record.
    pub group: String,
    /// The event.
    pub event_id: EventId,
    /// Its type, if the record could be read that far or an edit says it.
    pub event_type: Option<String>,
    /// Where the record came from.
    pub topic: String,
    /// Partition there.
    pub partition: i32,
    /// Offset there.
    pub offset: i64,
    /// Timestamp the record had there.
    pub record_time: DateTime<Utc>,
    /// The record's key as text, with what is not UTF-8 replaced.
    pub key: Option<String>,
    /// Why it is here.
    pub disposition: Disposition,
    /// A stable word for the cause.
    pub error_class: String,
    /// What went wrong.
    pub error: String,
    /// Groups letters of one cause.
    pub fingerprint: Fingerprint,
    /// How often it was tried.
    pub attempts: u32,
    /// First failure.
    pub first_failed_at: DateTime<Utc>,
    /// Last failure.
    pub last_failed_at: DateTime<Utc>,
    /// Where it is in its life.
    pub state: LetterState,
    /// How often it was replayed.
    pub replay_attempt: u32,
    /// How many of its replays failed since it was buried, or since it was last restored.
    pub replays_failed: u32,
    /// When a letter that is still replaying may be replayed anew.
    pub replay_deadline: Option<DateTime<Utc>>,
    /// Since when it is archived.
    pub archived_at: Option<DateTime<Utc>>,
    /// When it was resolved or discarded.
    pub closed_at: Option<DateTime<Utc>>,
    /// Its newest edit, which goes to the group; 0: the record as it came.
    pub edit_no: u32,
}

/// What of a record an edit can change; its key stays.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Content {
    /// The value, byte for byte.
    pub value: Option<Vec<u8>>,
    /// The headers, byte for byte.
    pub headers: RawHeaders,
}

/// An edit of a letter, without its bytes.
#[derive(Clone, Debug, Serialize)]
pub struct Edit {
    /// Its number, from 1.
    pub edit_no: u32,
    /// Who.
    pub actor: String,
    /// Why.
    pub reason: String,
    /// When.
    pub edited_at: DateTime<Utc>,
    /// What it changed of what went before.
    pub difference: Difference,
}

/// Where a letter stands in the queue of its key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Queued {
    /// The first letter of the queue: this one, or the one it waits for.
    pub first: DeadLetterId,
    /// How many wait behind this one.
    pub behind: u64,
}

/// A letter with the record, byte for byte, and its history.
#[derive(Clone, Debug)]
pub struct Letter {
    /// All but the bytes.
    pub summary: LetterSummary,
    /// Its place under its key. `None`: it is settled, or its record has no key.
    pub queued: Option<Queued>,
    /// The record's key.
    pub key: Option<Vec<u8>>,
    /// The record's value.
    pub value: Option<Vec<u8>>,
    /// The record's headers.
    pub headers: RawHeaders,
    /// What goes to the group instead of the record's value and headers, if it was edited.
    pub edited: Option<Content>,
    /// Its edits, oldest first.
    pub edits: Vec<Edit>,
    /// What became of it, oldest first.
    pub history: Vec<HistoryLine>,
}

/// One line of a letter's history.
#[derive(Clone, Debug, Serialize)]
pub struct HistoryLine {
    /// When.
    pub at: DateTime<Utc>,
    /// `failed`, `replayed`, `quarantined`, `archived`, `restored`, `edited`, `released`,
    /// `resolved`, `discarded`.
    pub action: String,
    /// Who: an operator, or the group.
    pub actor: String,
    /// More about it.
    pub detail: Option<String>,
}
