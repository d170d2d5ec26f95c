//! All SQL on `dead_letters` and `dead_letter_history`.

use std::collections::HashSet;
use std::time::Duration;

use chrono::{DateTime, NaiveDate, Utc};
use headgate_outbox::inbox::{GroupNo, event_day};
use headgate_outbox::multirow;
use headgate_schemas::headers::RawHeaders;
use headgate_schemas::ids::{DeadLetterId, EventId};
use sqlx::mysql::MySqlRow;
use sqlx::{MySql, MySqlConnection, MySqlPool, QueryBuilder, Row, Transaction};

use crate::Error;
use crate::attempt::{Failure, Origin};
use crate::bury::{NewLetter, hex};
use crate::fingerprint::FINGERPRINT_BYTES;
use crate::letter::{Disposition, HistoryLine, Letter, LetterState, LetterSummary};

/// Which letters a list shows. Empty fields match everything.
#[derive(Clone, Debug, Default)]
pub struct LetterFilter {
    /// Name of the group.
    pub group: Option<String>,
    /// State.
    pub state: Option<LetterState>,
    /// Disposition.
    pub disposition: Option<Disposition>,
    /// Class of the error.
    pub error_class: Option<String>,
    /// Event type.
    pub event_type: Option<String>,
    /// The record's key.
    pub key: Option<Vec<u8>>,
    /// Length of a page, 1 to [`PAGE_LETTERS_MAX`]; outside of that it is clamped.
    pub limit: u32,
    /// The last letter of the page before.
    pub cursor: Option<DeadLetterId>,
    /// Which end of the list comes first.
    pub order: Order,
}

/// Order of a list.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Order {
    /// For people.
    #[default]
    NewestFirst,
    /// For replays: what failed first goes first.
    OldestFirst,
}

/// Longest page.
pub const PAGE_LETTERS_MAX: u32 = 500;
/// Longest error that a letter keeps, in characters.
pub(crate) const ERROR_CHARS_MAX: usize = 2_000;
/// Longest detail of a line of history, in characters.
const DETAIL_CHARS_MAX: usize = 2_048;

/// One page of a list.
#[derive(Clone, Debug)]
pub struct Page<T> {
    /// In the order that was asked for.
    pub items: Vec<T>,
    /// How many match the filter in all, whatever the page.
    pub total: u64,
    /// Cursor of the next page; `None` on the last.
    pub next_cursor: Option<DeadLetterId>,
}

/// A letter that is about to be written.
#[derive(Debug)]
pub(crate) struct LetterRow {
    pub letter_id: DeadLetterId,
    pub group: GroupNo,
    pub fingerprint: [u8; FINGERPRINT_BYTES],
    pub letter: NewLetter,
}

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
    pub value: Option<Vec<u8>>,
    pub headers: RawHeaders,
    pub state: LetterState,
    pub replay_attempt: u32,
    /// Still replaying, past its deadline.
    pub is_overdue: bool,
}

/// The letters that match.
pub async fn list(pool: &MySqlPool, filter: &LetterFilter) -> Result<Page<LetterSummary>, Error> {
    let total = count(pool, filter).await?;
    let limit = filter.limit.clamp(1, PAGE_LETTERS_MAX);
    let mut select = QueryBuilder::new(SELECT_SUMMARIES);
    push_conditions(&mut select, filter);
    let (beyond, order) = match filter.order {
        Order::NewestFirst => (" AND l.letter_id < ", " ORDER BY l.letter_id DESC LIMIT "),
        Order::OldestFirst => (" AND l.letter_id > ", " ORDER BY l.letter_id LIMIT "),
    };
    if let Some(cursor) = filter.cursor {
        select.push(beyond).push_bind(cursor);
    }
    // One more than the page: it says whether there is another.
    select.push(order).push_bind(limit + 1);
    let rows = select.build().fetch_all(pool).await?;
    let mut items = rows.iter().map(summary).collect::<Result<Vec<_>, _>>()?;
    let page = usize::try_from(limit).unwrap_or(usize::MAX);
    let is_last = items.len() <= page;
    items.truncate(page);
    let next_cursor = items.last().filter(|_| !is_last).map(|last| last.letter_id);
    Ok(Page {
        items,
        total,
        next_cursor,
    })
}

/// How many letters match (the page's limit and cursor do not count).
pub async fn count(pool: &MySqlPool, filter: &LetterFilter) -> Result<u64, Error> {
    let mut select = QueryBuilder::new(
        "SELECT COUNT(*) FROM dead_letters l JOIN consumer_groups g USING (group_no) WHERE TRUE",
    );
    push_conditions(&mut select, filter);
    let count: i64 = select.build_query_scalar().fetch_one(pool).await?;
    Ok(count.unsigned_abs())
}

/// One letter with its bytes and history.
pub async fn show(pool: &MySqlPool, letter_id: DeadLetterId) -> Result<Letter, Error> {
    let mut connection = pool.acquire().await?;
    read(&mut connection, letter_id)
        .await?
        .ok_or(Error::NotFound(letter_id))
}

/// How many letters of each group are open, groups without any included. A replay that was
/// not answered in time leaves its letter open.
pub async fn open_by_group(pool: &MySqlPool) -> Result<Vec<(String, u64)>, Error> {
    let rows = sqlx::query!(
        "SELECT g.name, COUNT(l.letter_id) AS letters FROM consumer_groups g
         LEFT JOIN dead_letters l ON l.group_no = g.group_no AND l.state IN ('open', 'replaying')
             AND (l.state = 'open' OR l.replay_deadline < UTC_TIMESTAMP(6))
         GROUP BY g.group_no, g.name"
    )
    .fetch_all(pool)
    .await?;
    Ok(rows
        .into_iter()
        .map(|row| (row.name, row.letters.unsigned_abs()))
        .collect())
}

/// The oldest day of an event whose letter is not closed: the inbox must not forget it.
pub async fn oldest_unsettled_day(pool: &MySqlPool) -> Result<Option<NaiveDate>, Error> {
    Ok(sqlx::query_scalar!(
        "SELECT MIN(event_day) FROM dead_letters WHERE state NOT IN ('resolved', 'discarded')"
    )
    .fetch_one(pool)
    .await?)
}

const SELECT_SUMMARIES: &str = "SELECT l.letter_id, g.name AS group_name, l.event_id, l.event_type, l.topic,
        l.partition_no, l.kafka_offset, l.kafka_timestamp, l.record_key, l.disposition, l.error_class, l.error,
        l.fingerprint, l.attempts, l.first_failed_at, l.last_failed_at, l.state, l.replay_attempt,
        l.replay_deadline, l.closed_at
    FROM dead_letters l JOIN consumer_groups g USING (group_no) WHERE TRUE";

/// Whoever looks for open letters looks for those whose replay was not answered, too.
const OR_OVERDUE: &str = " OR l.state = 'replaying' AND l.replay_deadline < UTC_TIMESTAMP(6)";

fn push_conditions(select: &mut QueryBuilder<MySql>, filter: &LetterFilter) {
    if let Some(group) = &filter.group {
        select.push(" AND g.name = ").push_bind(group.clone());
    }
    if let Some(state) = filter.state {
        select.push(" AND (l.state = ").push_bind(state);
        if state == LetterState::Open {
            select.push(OR_OVERDUE);
        }
        select.push(")");
    }
    if let Some(disposition) = filter.disposition {
        select.push(" AND l.disposition = ").push_bind(disposition);
    }
    if let Some(class) = &filter.error_class {
        select.push(" AND l.error_class = ").push_bind(class.clone());
    }
    if let Some(event_type) = &filter.event_type {
        select.push(" AND l.event_type = ").push_bind(event_type.clone());
    }
    if let Some(key) = &filter.key {
        select.push(" AND l.record_key = ").push_bind(key.clone());
    }
}

fn summary(row: &MySqlRow) -> Result<LetterSummary, sqlx::Error> {
    let key: Option<Vec<u8>> = row.try_get("record_key")?;
    let fingerprint: Vec<u8> = row.try_get("fingerprint")?;
    Ok(LetterSummary {
        letter_id: row.try_get("letter_id")?,
        group: row.try_get("group_name")?,
        event_id: row.try_get("event_id")?,
        event_type: row.try_get("event_type")?,
        topic: row.try_get("topic")?,
        partition: row.try_get("partition_no")?,
        offset: row.try_get("kafka_offset")?,
        record_time: row.try_get("kafka_timestamp")?,
        key: key.map(|key| String::from_utf8_lossy(&key).into_owned()),
        // Unchecked: MySQL reports an ENUM of a binary collation as BINARY.
        disposition: row.try_get_unchecked("disposition")?,
        error_class: row.try_get("error_class")?,
        error: row.try_get("error")?,
        fingerprint: hex(&fingerprint),
        attempts: row.try_get("attempts")?,
        first_failed_at: row.try_get("first_failed_at")?,
        last_failed_at: row.try_get("last_failed_at")?,
        state: row.try_get_unchecked("state")?,
        replay_attempt: row.try_get("replay_attempt")?,
        replay_deadline: row.try_get("replay_deadline")?,
        closed_at: row.try_get("closed_at")?,
    })
}

/// One letter with its bytes and history, as the connection's transaction sees it.
pub(crate) async fn read(
    connection: &mut MySqlConnection,
    letter_id: DeadLetterId,
) -> Result<Option<Letter>, Error> {
    let mut select = QueryBuilder::new(SELECT_SUMMARIES);
    select.push(" AND l.letter_id = ").push_bind(letter_id);
    let Some(row) = select.build().fetch_optional(&mut *connection).await? else {
        return Ok(None);
    };
    let id = letter_id.as_bytes().as_slice();
    let bytes = sqlx::query!(
        "SELECT record_key, record_value, record_headers FROM dead_letters WHERE letter_id = ?",
        id
    )
    .fetch_one(&mut *connection)
    .await?;
    let history = sqlx::query_as!(
        HistoryLine,
        r#"SELECT at AS "at: DateTime<Utc>", action, actor, detail FROM dead_letter_history
           WHERE letter_id = ? ORDER BY history_no"#,
        id
    )
    .fetch_all(connection)
    .await?;
    Ok(Some(Letter {
        summary: summary(&row)?,
        key: bytes.record_key,
        value: bytes.record_value,
        headers: RawHeaders::from_bytes(&bytes.record_headers)?,
        history,
    }))
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

/// Locks a letter.
pub(crate) async fn lock(
    transaction: &mut Transaction<'_, MySql>,
    letter_id: DeadLetterId,
) -> Result<Option<LockedLetter>, Error> {
    let row = sqlx::query!(
        r#"SELECT l.group_no AS "group: GroupNo", g.name AS group_name, l.event_id AS "event_id: EventId",
               l.event_type, l.topic, l.partition_no, l.kafka_offset, l.kafka_timestamp AS "record_time: DateTime<Utc>",
               l.record_key, l.record_value, l.record_headers, l.state AS "state: LetterState", l.replay_attempt,
               l.state = 'replaying' AND l.replay_deadline <= UTC_TIMESTAMP(6) AS "is_overdue: bool"
           FROM dead_letters l JOIN consumer_groups g USING (group_no) WHERE l.letter_id = ? FOR UPDATE OF l"#,
        letter_id.as_bytes().as_slice()
    )
    .fetch_optional(&mut **transaction)
    .await?;
    let Some(row) = row else { return Ok(None) };
    Ok(Some(LockedLetter {
        letter_id,
        group: row.group,
        group_name: row.group_name,
        event_id: row.event_id,
        event_type: row.event_type,
        topic: row.topic,
        partition: row.partition_no,
        offset: row.kafka_offset,
        record_time: row.record_time,
        key: row.record_key,
        value: row.record_value,
        headers: RawHeaders::from_bytes(&row.record_headers)?,
        state: row.state,
        replay_attempt: row.replay_attempt,
        is_overdue: row.is_overdue.unwrap_or_default(),
    }))
}

/// Those of `events` that have a letter of the group, whatever became of it.
pub(crate) async fn events_with_letters(
    transaction: &mut Transaction<'_, MySql>,
    group: GroupNo,
    events: &[EventId],
) -> Result<HashSet<EventId>, sqlx::Error> {
    let mut found = HashSet::new();
    for events in events.chunks(multirow::ROWS_MAX) {
        let mut select = QueryBuilder::new("SELECT event_id FROM dead_letters WHERE group_no = ");
        select.push_bind(group).push(" AND event_id IN (");
        let mut list = select.separated(", ");
        for event_id in multirow::padded(events) {
            list.push_bind(event_id);
        }
        select.push(")");
        let rows: Vec<EventId> = select.build_query_scalar().fetch_all(&mut **transaction).await?;
        found.extend(rows);
    }
    Ok(found)
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

/// Writes the first line of history of new letters.
pub(crate) async fn insert_failures(
    transaction: &mut Transaction<'_, MySql>,
    actor: &str,
    letters: &[LetterRow],
) -> Result<(), sqlx::Error> {
    for rows in multirow::pieces(letters) {
        let mut insert =
            QueryBuilder::new("INSERT INTO dead_letter_history (letter_id, action, actor, detail) ");
        insert.push_values(rows, |mut values, row| {
            let detail = format!("{}: {}", row.letter.error_class, row.letter.error);
            values
                .push_bind(row.letter_id)
                .push_bind("failed")
                .push_bind(actor)
                .push_bind(bounded(&detail, DETAIL_CHARS_MAX));
        });
        insert.build().execute(&mut **transaction).await?;
    }
    Ok(())
}

/// Writes a line of history.
pub(crate) async fn insert_history(
    transaction: &mut Transaction<'_, MySql>,
    letter_id: DeadLetterId,
    action: &str,
    actor: &str,
    detail: &str,
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "INSERT INTO dead_letter_history (letter_id, action, actor, detail) VALUES (?, ?, ?, ?)",
        letter_id.as_bytes().as_slice(),
        action,
        actor,
        bounded(detail, DETAIL_CHARS_MAX)
    )
    .execute(&mut **transaction)
    .await?;
    Ok(())
}

/// Sends a locked letter on its `attempt`-th replay; returns the deadline.
pub(crate) async fn set_replaying(
    transaction: &mut Transaction<'_, MySql>,
    letter_id: DeadLetterId,
    attempt: u32,
    within: Duration,
) -> Result<DateTime<Utc>, sqlx::Error> {
    let id = letter_id.as_bytes().as_slice();
    sqlx::query!(
        "UPDATE dead_letters SET state = 'replaying', replay_attempt = ?,
             replay_deadline = UTC_TIMESTAMP(6) + INTERVAL ? SECOND
         WHERE letter_id = ?",
        attempt,
        within.as_secs(),
        id
    )
    .execute(&mut **transaction)
    .await?;
    sqlx::query_scalar!(
        r#"SELECT replay_deadline AS "deadline!: DateTime<Utc>" FROM dead_letters WHERE letter_id = ?"#,
        id
    )
    .fetch_one(&mut **transaction)
    .await
}

/// Closes a locked letter: resolved or discarded.
pub(crate) async fn close(
    transaction: &mut Transaction<'_, MySql>,
    letter_id: DeadLetterId,
    state: LetterState,
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "UPDATE dead_letters SET state = ?, replay_deadline = NULL, closed_at = UTC_TIMESTAMP(6) WHERE letter_id = ?",
        state,
        letter_id.as_bytes().as_slice()
    )
    .execute(&mut **transaction)
    .await?;
    Ok(())
}

/// Returns a locked letter to `open` after another failure.
pub(crate) async fn reopen(
    transaction: &mut Transaction<'_, MySql>,
    letter_id: DeadLetterId,
    failure: Failure<'_>,
    fingerprint: &[u8; FINGERPRINT_BYTES],
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "UPDATE dead_letters SET state = 'open', replay_deadline = NULL, attempts = attempts + 1, disposition = ?,
             error_class = ?, error = ?, fingerprint = ?, last_failed_at = UTC_TIMESTAMP(6)
         WHERE letter_id = ?",
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
