//! Letters in a transaction's hands.

use std::time::Duration;

use chrono::{DateTime, Utc};
use headgate_outbox::inbox::GroupNo;
use headgate_outbox::multirow;
use headgate_schemas::headers::RawHeaders;
use headgate_schemas::ids::{DeadLetterId, EventId};
use sqlx::mysql::MySqlRow;
use sqlx::{MySql, QueryBuilder, Row, Transaction};

use super::edits;
use crate::Error;
use crate::letter::{Content, Disposition, LetterState};

/// A letter that is locked until the transaction ends.
#[derive(Debug)]
pub(crate) struct LockedLetter {
    pub letter_id: DeadLetterId,
    pub group: GroupNo,
    pub group_name: String,
    pub event_id: EventId,
    pub event_type: Option<String>,
    pub topic: String,
    pub partition: i32,
    pub offset: i64,
    pub record_time: DateTime<Utc>,
    pub key: Option<Vec<u8>>,
    /// What goes to the group: its newest edit's, if there is one.
    pub value: Option<Vec<u8>>,
    /// As the value.
    pub headers: RawHeaders,
    /// The newest edit; 0: none.
    pub edit_no: u32,
    pub state: LetterState,
    pub disposition: Disposition,
    pub replay_attempt: u32,
    /// Replays that failed since it was buried or last restored.
    pub replays_failed: u32,
    /// Still replaying, past its deadline.
    pub is_overdue: bool,
}

/// Locks a letter.
pub(crate) async fn lock(
    transaction: &mut Transaction<'_, MySql>,
    letter_id: DeadLetterId,
) -> Result<Option<LockedLetter>, Error> {
    Ok(lock_all(transaction, &[letter_id]).await?.pop())
}

/// Locks those of `letters` that exist, in the order of their ids. The caller sees to it that
/// their records fit into memory.
pub(crate) async fn lock_all(
    transaction: &mut Transaction<'_, MySql>,
    letters: &[DeadLetterId],
) -> Result<Vec<LockedLetter>, Error> {
    let mut locked = Vec::with_capacity(letters.len());
    for letters in letters.chunks(multirow::ROWS_MAX) {
        let mut select = QueryBuilder::new(SELECT);
        let mut list = select.separated(", ");
        for letter_id in multirow::padded(letters) {
            list.push_bind(letter_id);
        }
        select.push(") ORDER BY l.letter_id FOR UPDATE OF l");
        for row in select.build().fetch_all(&mut **transaction).await? {
            locked.push(letter(&row)?);
        }
    }
    for letter in &mut locked {
        if letter.edit_no > 0 {
            edit(transaction, letter).await?;
        }
    }
    Ok(locked)
}

/// Puts what the newest edit says in the place of what came.
async fn edit(transaction: &mut Transaction<'_, MySql>, letter: &mut LockedLetter) -> Result<(), Error> {
    let as_it_came = Content {
        value: letter.value.take(),
        headers: std::mem::take(&mut letter.headers),
    };
    let effective = edits::effective(transaction, letter.letter_id, letter.edit_no, as_it_came).await?;
    letter.value = effective.value;
    letter.headers = effective.headers;
    Ok(())
}

const SELECT: &str = "SELECT l.letter_id, l.group_no, g.name AS group_name, l.event_id, l.event_type, l.topic,
        l.partition_no, l.kafka_offset, l.kafka_timestamp, l.record_key, l.record_value, l.record_headers, l.state,
        l.disposition, l.edit_no, l.replay_attempt, l.replays_failed,
        l.state = 'replaying' AND l.replay_deadline <= UTC_TIMESTAMP(6) AS is_overdue
    FROM dead_letters l JOIN consumer_groups g USING (group_no) WHERE l.letter_id IN (";

fn letter(row: &MySqlRow) -> Result<LockedLetter, Error> {
    let is_overdue: Option<i64> = row.try_get("is_overdue")?;
    let headers: Vec<u8> = row.try_get("record_headers")?;
    Ok(LockedLetter {
        letter_id: row.try_get("letter_id")?,
        group: row.try_get("group_no")?,
        group_name: row.try_get("group_name")?,
        event_id: row.try_get("event_id")?,
        event_type: row.try_get("event_type")?,
        topic: row.try_get("topic")?,
        partition: row.try_get("partition_no")?,
        offset: row.try_get("kafka_offset")?,
        record_time: row.try_get("kafka_timestamp")?,
        key: row.try_get("record_key")?,
        value: row.try_get("record_value")?,
        headers: RawHeaders::from_bytes(&headers)?,
        edit_no: row.try_get("edit_no")?,
        // Unchecked: MySQL reports an ENUM of a binary collation as BINARY.
        state: row.try_get_unchecked("state")?,
        disposition: row.try_get_unchecked("disposition")?,
        replay_attempt: row.try_get("replay_attempt")?,
        replays_failed: row.try_get("replays_failed")?,
        is_overdue: is_overdue == Some(1),
    })
}

/// Sends locked letters on their next replay; returns its deadline.
pub(crate) async fn set_replaying(
    transaction: &mut Transaction<'_, MySql>,
    letters: &[DeadLetterId],
    within: Duration,
) -> Result<DateTime<Utc>, sqlx::Error> {
    let deadline = sqlx::query_scalar!(
        r#"SELECT UTC_TIMESTAMP(6) + INTERVAL ? SECOND AS "deadline!: DateTime<Utc>""#,
        within.as_secs()
    )
    .fetch_one(&mut **transaction)
    .await?;
    for letters in letters.chunks(multirow::ROWS_MAX) {
        let mut update = QueryBuilder::new(
            "UPDATE dead_letters SET state = 'replaying', replay_attempt = replay_attempt + 1, replay_deadline = ",
        );
        update.push_bind(deadline).push(" WHERE letter_id IN (");
        let mut list = update.separated(", ");
        for letter_id in multirow::padded(letters) {
            list.push_bind(letter_id);
        }
        update.push(")");
        update.build().execute(&mut **transaction).await?;
    }
    Ok(deadline)
}
