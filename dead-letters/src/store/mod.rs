//! All SQL on `dead_letters`, `dead_letter_edits` and `dead_letter_history`.

mod agreement;
mod archive;
pub(crate) mod edits;
mod export;
mod groups;
mod history;
mod list;
mod locked;
pub(crate) mod queue;
pub mod replays;

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use headgate_outbox::inbox::{GroupNo, InboxState, event_day};
use headgate_outbox::multirow;
use headgate_schemas::ids::{DeadLetterId, EventId};
use sqlx::{MySql, MySqlPool, QueryBuilder, Row, Transaction};

use crate::attempt::{Failure, Origin};
use crate::bury::NewLetter;
use crate::fingerprint::Fingerprint;
use crate::letter::{Disposition, LetterState};

pub use self::agreement::{Unsettled, unsettled, with_letters_elsewhere};
pub use self::archive::archived_for;
pub(crate) use self::archive::{archive, is_archived_for, restore};
pub use self::export::{Exported, export};
pub use self::groups::{PAGE_GROUPS_MAX, groups};
pub(crate) use self::history::{insert_failures, insert_history, insert_lines};
pub(crate) use self::list::read;
pub use self::list::{
    OpenLetters, Order, PAGE_LETTERS_MAX, Page, Slice, count, list, oldest_unsettled_day, open_by_group, show,
};
pub(crate) use self::locked::{LockedLetter, lock, lock_all, set_replaying};

/// Longest error that a letter keeps, in characters.
pub(crate) const ERROR_CHARS_MAX: usize = 2_000;

/// A letter that is about to be written.
#[derive(Debug)]
pub(crate) struct LetterRow {
    pub letter_id: DeadLetterId,
    pub group: GroupNo,
    pub fingerprint: Fingerprint,
    pub letter: NewLetter,
}

/// Where a letter's record came from.
pub(crate) async fn origin(pool: &MySqlPool, letter_id: DeadLetterId) -> Result<Option<Origin>, sqlx::Error> {
    sqlx::query_as!(
        Origin,
        r#"SELECT group_no AS "group: GroupNo", topic, partition_no AS "partition", event_id AS "event_id: EventId"
           FROM dead_letters WHERE letter_id = ?"#,
        letter_id.as_bytes().as_slice()
    )
    .fetch_optional(pool)
    .await
}

/// The same of several letters.
pub(crate) async fn origins(
    pool: &MySqlPool,
    letters: &[DeadLetterId],
) -> Result<HashMap<DeadLetterId, Origin>, sqlx::Error> {
    let mut found = HashMap::with_capacity(letters.len());
    for letters in letters.chunks(multirow::ROWS_MAX) {
        let mut select = QueryBuilder::new(
            "SELECT letter_id, group_no, topic, partition_no, event_id FROM dead_letters WHERE letter_id IN (",
        );
        let mut list = select.separated(", ");
        for letter_id in multirow::padded(letters) {
            list.push_bind(letter_id);
        }
        select.push(")");
        for row in select.build().fetch_all(pool).await? {
            let origin = Origin {
                group: row.try_get("group_no")?,
                topic: row.try_get("topic")?,
                partition: row.try_get("partition_no")?,
                event_id: row.try_get("event_id")?,
            };
            found.insert(row.try_get("letter_id")?, origin);
        }
    }
    Ok(found)
}

/// What those of `events` that have a letter of the group are in the inbox, as long as the
/// inbox remembers them.
pub(crate) async fn inbox_states(
    transaction: &mut Transaction<'_, MySql>,
    group: GroupNo,
    events: &[EventId],
) -> Result<HashMap<EventId, InboxState>, sqlx::Error> {
    let mut found = HashMap::new();
    for events in events.chunks(multirow::ROWS_MAX) {
        let mut select =
            QueryBuilder::new("SELECT event_id, state, disposition FROM dead_letters WHERE group_no = ");
        select.push_bind(group).push(" AND event_id IN (");
        let mut list = select.separated(", ");
        for event_id in multirow::padded(events) {
            list.push_bind(event_id);
        }
        select.push(")");
        for row in select.build().fetch_all(&mut **transaction).await? {
            // Unchecked: MySQL reports an ENUM of a binary collation as BINARY.
            let state = inbox_state(
                row.try_get_unchecked("state")?,
                row.try_get_unchecked("disposition")?,
            );
            found.insert(row.try_get("event_id")?, state);
        }
    }
    Ok(found)
}

/// What an event is in the inbox while its letter is so.
pub(crate) const fn inbox_state(state: LetterState, disposition: Disposition) -> InboxState {
    match (state, disposition) {
        (LetterState::Resolved, _) => InboxState::Applied,
        (LetterState::Discarded, _) => InboxState::Discarded,
        (_, Disposition::Parked) => InboxState::Parked,
        _ => InboxState::Dead,
    }
}

/// Inserts letters, open.
pub(crate) async fn insert(
    transaction: &mut Transaction<'_, MySql>,
    letters: &[LetterRow],
) -> Result<(), sqlx::Error> {
    for rows in multirow::pieces(letters) {
        let mut insert = QueryBuilder::new(
            "INSERT INTO dead_letters (letter_id, group_no, event_id, event_day, event_type, topic, partition_no,
                 kafka_offset, kafka_timestamp, record_key, record_value, record_headers, disposition, error_class,
                 error, fingerprint, attempts, first_failed_at, last_failed_at, state) ",
        );
        insert.push_values(rows, |mut values, row| {
            let (letter, record) = (&row.letter, &row.letter.record);
            values
                .push_bind(row.letter_id)
                .push_bind(row.group)
                .push_bind(letter.event_id)
                .push_bind(event_day(letter.event_id))
                .push_bind(letter.event_type.as_deref())
                .push_bind(record.topic.as_str())
                .push_bind(record.partition)
                .push_bind(record.offset)
                .push_bind(record.time)
                .push_bind(record.key.as_deref())
                .push_bind(record.value.as_deref())
                .push_bind(record.headers.to_bytes())
                .push_bind(letter.disposition)
                .push_bind(letter.error_class.as_str())
                .push_bind(letter.error.as_str())
                .push_bind(row.fingerprint.as_slice())
                .push_bind(letter.attempts)
                .push_bind(letter.first_failed_at)
                .push_bind(letter.last_failed_at)
                .push_bind(LetterState::Open);
        });
        insert.build().execute(&mut **transaction).await?;
    }
    Ok(())
}

/// Closes a locked letter: resolved or discarded.
pub(crate) async fn close(
    transaction: &mut Transaction<'_, MySql>,
    letter_id: DeadLetterId,
    state: LetterState,
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "UPDATE dead_letters SET state = ?, replay_deadline = NULL, archived_at = NULL, closed_at = UTC_TIMESTAMP(6)
         WHERE letter_id = ?",
        state,
        letter_id.as_bytes().as_slice()
    )
    .execute(&mut **transaction)
    .await?;
    Ok(())
}

/// Says of a locked letter that never was tried before how it was.
pub(crate) async fn set_tries(
    transaction: &mut Transaction<'_, MySql>,
    letter_id: DeadLetterId,
    attempts: u32,
    first_failed_at: DateTime<Utc>,
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "UPDATE dead_letters SET attempts = ?, first_failed_at = ? WHERE letter_id = ?",
        attempts,
        first_failed_at,
        letter_id.as_bytes().as_slice()
    )
    .execute(&mut **transaction)
    .await?;
    Ok(())
}

/// What another failure makes of a letter.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Returned {
    /// `open`, or `quarantined` if it keeps coming back.
    pub state: LetterState,
    /// Replays that failed by now.
    pub replays_failed: u32,
}

/// Returns a locked letter after another failure.
pub(crate) async fn give_back(
    transaction: &mut Transaction<'_, MySql>,
    letter_id: DeadLetterId,
    returned: Returned,
    failure: Failure<'_>,
    fingerprint: Fingerprint,
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "UPDATE dead_letters SET state = ?, replays_failed = ?, replay_deadline = NULL, attempts = attempts + 1,
             disposition = ?, error_class = ?, error = ?, fingerprint = ?, last_failed_at = UTC_TIMESTAMP(6)
         WHERE letter_id = ?",
        returned.state,
        returned.replays_failed,
        failure.disposition,
        failure.class,
        bounded(failure.error, ERROR_CHARS_MAX),
        fingerprint.as_slice(),
        letter_id.as_bytes().as_slice()
    )
    .execute(&mut **transaction)
    .await?;
    Ok(())
}

/// The beginning of a text.
pub(crate) fn bounded(text: &str, chars_max: usize) -> &str {
    text.char_indices()
        .nth(chars_max)
        .map_or(text, |(end, _)| &text[..end])
}
