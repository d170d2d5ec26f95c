//! Failure groups: the letters of one consumer group that have one cause, so that a
//! thousand letters are read as the few faults behind them.

use std::fmt;
use std::str::FromStr;

use chrono::{DateTime, Utc};
use headgate_schemas::ids::DeadLetterId;
use serde::{Deserialize, Serialize};

use crate::fingerprint::{Fingerprint, InvalidFingerprint};
use crate::letter::Disposition;

/// Letters of one consumer group and one fingerprint.
#[derive(Clone, Debug)]
pub struct FailureGroup {
    /// Name of the consumer group.
    pub group: String,
    /// The cause.
    pub fingerprint: Fingerprint,
    /// How many letters there are.
    pub letters: u64,
    /// Those of them that wait behind another letter of their key.
    pub parked: u64,
    /// How many distinct keys they hold.
    pub keys: u64,
    /// Disposition of the newest.
    pub disposition: Disposition,
    /// Class of its error.
    pub error_class: String,
    /// Its error.
    pub error: String,
    /// The newest.
    pub example: DeadLetterId,
    /// The earliest first failure.
    pub first_failed_at: DateTime<Utc>,
    /// The latest failure.
    pub last_failed_at: DateTime<Utc>,
    /// Whether there are more of them lately.
    pub trend: Trend,
}

/// Letters by when they failed first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Trend {
    /// Within the last hour.
    pub last_hour: u64,
    /// In the hour before that.
    pub hour_before: u64,
    /// Within the last 24 hours.
    pub last_day: u64,
}

/// A page of groups.
#[derive(Clone, Debug)]
pub struct Groups {
    /// Most letters first.
    pub items: Vec<FailureGroup>,
    /// How many groups there are in all, whatever the page.
    pub total: u64,
    /// How many letters match in all.
    pub letters: u64,
    /// Cursor of the next page; `None` on the last.
    pub next_cursor: Option<GroupCursor>,
}

/// Where a page of groups ends, as text `LETTERS-FINGERPRINT`. A group that grows while one
/// pages may be met twice or not at all.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct GroupCursor {
    /// Letters of the last group.
    pub letters: u64,
    /// Its fingerprint.
    pub fingerprint: Fingerprint,
}

/// It was not made here.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("must be the `next_cursor` of the page before")]
pub struct InvalidCursor;

impl fmt::Display for GroupCursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.letters, self.fingerprint)
    }
}

impl FromStr for GroupCursor {
    type Err = InvalidCursor;

    fn from_str(text: &str) -> Result<Self, InvalidCursor> {
        let (letters, fingerprint) = text.split_once('-').ok_or(InvalidCursor)?;
        Ok(Self {
            letters: letters.parse().map_err(|_| InvalidCursor)?,
            fingerprint: fingerprint
                .parse()
                .map_err(|_: InvalidFingerprint| InvalidCursor)?,
        })
    }
}

impl TryFrom<String> for GroupCursor {
    type Error = InvalidCursor;

    fn try_from(text: String) -> Result<Self, InvalidCursor> {
        text.parse()
    }
}

impl From<GroupCursor> for String {
    fn from(cursor: GroupCursor) -> Self {
        cursor.to_string()
    }
}
