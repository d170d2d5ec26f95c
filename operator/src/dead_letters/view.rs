//! A letter as operators see it.

use chrono::{DateTime, Utc};
use headgate_dead_letters as letters;
use headgate_schemas::ids::{DeadLetterId, EventId};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::record::masked_key;
use crate::auth::Operator;

/// A letter without the record's value.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct LetterView {
    /// The letter.
    #[schema(value_type = Uuid)]
    pub letter_id: DeadLetterId,
    /// The group that could not apply the record.
    pub group: String,
    /// The event.
    #[schema(value_type = Uuid)]
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
    /// The record's key as text, with what is not UTF-8 replaced. Masked for viewers
    /// unless it is one of our ids.
    pub key: Option<String>,
    /// `poison`, `rejected`, `exhausted` or `parked`.
    pub disposition: String,
    /// A stable word for the cause.
    pub error_class: String,
    /// What went wrong.
    pub error: String,
    /// Groups letters of one cause.
    pub fingerprint: String,
    /// How often it was tried.
    pub attempts: u32,
    /// First failure.
    pub first_failed_at: DateTime<Utc>,
    /// Last failure.
    pub last_failed_at: DateTime<Utc>,
    /// `open`, `replaying`, `resolved`, `discarded`, `archived` or `quarantined`.
    pub state: String,
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

impl LetterView {
    /// The letter as `operator` may see it.
    pub fn of(letter: letters::LetterSummary, operator: &Operator) -> Self {
        let key = if operator.sees_payloads() {
            letter.key
        } else {
            letter.key.map(masked_key)
        };
        Self {
            letter_id: letter.letter_id,
            group: letter.group,
            event_id: letter.event_id,
            event_type: letter.event_type,
            topic: letter.topic,
            partition: letter.partition,
            offset: letter.offset,
            record_time: letter.record_time,
            key,
            disposition: letter.disposition.as_str().to_owned(),
            error_class: letter.error_class,
            error: letter.error,
            fingerprint: letter.fingerprint.to_string(),
            attempts: letter.attempts,
            first_failed_at: letter.first_failed_at,
            last_failed_at: letter.last_failed_at,
            state: letter.state.as_str().to_owned(),
            replay_attempt: letter.replay_attempt,
            replays_failed: letter.replays_failed,
            replay_deadline: letter.replay_deadline,
            archived_at: letter.archived_at,
            closed_at: letter.closed_at,
            edit_no: letter.edit_no,
        }
    }
}

/// One line of a letter's history.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
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

impl From<letters::HistoryLine> for HistoryLine {
    fn from(line: letters::HistoryLine) -> Self {
        Self {
            at: line.at,
            action: line.action,
            actor: line.actor,
            detail: line.detail,
        }
    }
}
