//! Reading letters: lists, single ones, counts.

use chrono::{DateTime, NaiveDate, Utc};
use headgate_schemas::headers::RawHeaders;
use headgate_schemas::ids::DeadLetterId;
use sqlx::mysql::MySqlRow;
use sqlx::{MySql, MySqlConnection, MySqlPool, QueryBuilder, Row};

use super::{edits, queue};
use crate::Error;
use crate::filter::LetterFilter;
use crate::fingerprint::Fingerprint;
use crate::letter::{Content, HistoryLine, Letter, LetterState, LetterSummary};

/// Which of the letters that match a page shows.
#[derive(Clone, Copy, Debug, Default)]
pub struct Slice {
    /// Length of the page, 1 to [`PAGE_LETTERS_MAX`]; outside of that it is clamped.
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

/// The letters that match.
pub async fn list(
    pool: &MySqlPool,
    filter: &LetterFilter,
    slice: Slice,
) -> Result<Page<LetterSummary>, Error> {
    let total = count(pool, filter).await?;
    let limit = slice.limit.clamp(1, PAGE_LETTERS_MAX);
    let mut select = QueryBuilder::new(SELECT_SUMMARIES);
    push_conditions(&mut select, filter);
    let (beyond, order) = match slice.order {
        Order::NewestFirst => (" AND l.letter_id < ", " ORDER BY l.letter_id DESC LIMIT "),
        Order::OldestFirst => (" AND l.letter_id > ", " ORDER BY l.letter_id LIMIT "),
    };
    if let Some(cursor) = slice.cursor {
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

/// How many letters match.
pub async fn count(pool: &MySqlPool, filter: &LetterFilter) -> Result<u64, Error> {
    let mut select = QueryBuilder::new("SELECT COUNT(*) FROM dead_letters l WHERE TRUE");
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

/// The letters of a group that wait for an operator.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OpenLetters {
    /// Its name.
    pub group: String,
    /// How many there are.
    pub open: u64,
    /// Those of them that wait behind another.
    pub parked: u64,
    /// How many are quarantined, which are not open.
    pub quarantined: u64,
}

/// How many letters of each group are open and how many quarantined, groups without any
/// included. A replay that was not answered in time leaves its letter open.
pub async fn open_by_group(pool: &MySqlPool) -> Result<Vec<OpenLetters>, Error> {
    let rows = sqlx::query!(
        "SELECT g.name, COUNT(IF(l.state <> 'quarantined', 1, NULL)) AS letters,
             COUNT(IF(l.state <> 'quarantined', l.is_parked, NULL)) AS parked,
             COUNT(IF(l.state = 'quarantined', 1, NULL)) AS quarantined
         FROM consumer_groups g
         LEFT JOIN dead_letters l ON l.group_no = g.group_no AND l.state IN ('open', 'replaying', 'quarantined')
             AND (l.state <> 'replaying' OR l.replay_deadline < UTC_TIMESTAMP(6))
         GROUP BY g.group_no, g.name"
    )
    .fetch_all(pool)
    .await?;
    Ok(rows
        .into_iter()
        .map(|row| OpenLetters {
            group: row.name,
            open: row.letters.unsigned_abs(),
            parked: row.parked.unsigned_abs(),
            quarantined: row.quarantined.unsigned_abs(),
        })
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

/// A LEFT JOIN, because it leaves the letters first: MySQL prefers to begin with the few groups
/// where there are many settled letters, and then sorts every letter that matches for a page.
const SELECT_SUMMARIES: &str = "SELECT l.letter_id, g.name AS group_name, l.event_id, l.event_type, l.topic,
        l.partition_no, l.kafka_offset, l.kafka_timestamp, l.record_key, l.disposition, l.error_class, l.error,
        l.fingerprint, l.attempts, l.first_failed_at, l.last_failed_at, l.state, l.replay_attempt,
        l.replays_failed, l.replay_deadline, l.archived_at, l.closed_at, l.edit_no
    FROM dead_letters l LEFT JOIN consumer_groups g USING (group_no) WHERE TRUE";

/// Whoever looks for open letters looks for those whose replay was not answered, too.
const OR_OVERDUE: &str = " OR l.state = 'replaying' AND l.replay_deadline < UTC_TIMESTAMP(6))";

/// The one place that says in SQL what a filter means, of the letters `l`.
pub(super) fn push_conditions(select: &mut QueryBuilder<MySql>, filter: &LetterFilter) {
    if let Some(group) = &filter.group {
        select
            .push(" AND l.group_no = (SELECT group_no FROM consumer_groups WHERE name = ")
            .push_bind(group.clone())
            .push(")");
    }
    match filter.state {
        // The index of these is in the order of the list.
        Some(LetterState::Open) => select
            .push(" AND l.is_pending = 1 AND (l.state = 'open'")
            .push(OR_OVERDUE),
        Some(state) => select.push(" AND l.state = ").push_bind(state),
        // Out of sight, unless they are asked for.
        None => select.push(" AND l.state <> 'archived'"),
    };
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
    if let Some(fingerprint) = filter.fingerprint {
        select
            .push(" AND l.fingerprint = ")
            .push_bind(fingerprint.as_slice().to_vec());
    }
    if let Some(since) = filter.since {
        select.push(" AND l.first_failed_at >= ").push_bind(since);
    }
    if let Some(until) = filter.until {
        select.push(" AND l.first_failed_at < ").push_bind(until);
    }
    if let Some(text) = &filter.text {
        select
            .push(" AND l.error LIKE ")
            .push_bind(text.pattern())
            .push(" ESCAPE '!'");
    }
    if let Some(schema_id) = filter.schema_id {
        // Confluent's wire format: a zero, and the id, big endian.
        let mut head = vec![0];
        head.extend_from_slice(&schema_id.to_be_bytes());
        select.push(" AND LEFT(l.record_value, 5) = ").push_bind(head);
    }
    match filter.parked {
        Some(true) => select.push(" AND l.is_parked = 1"),
        Some(false) => select.push(" AND l.is_parked IS NULL"),
        None => select,
    };
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
        fingerprint: Fingerprint::from_stored(&fingerprint),
        attempts: row.try_get("attempts")?,
        first_failed_at: row.try_get("first_failed_at")?,
        last_failed_at: row.try_get("last_failed_at")?,
        state: row.try_get_unchecked("state")?,
        replay_attempt: row.try_get("replay_attempt")?,
        replays_failed: row.try_get("replays_failed")?,
        replay_deadline: row.try_get("replay_deadline")?,
        archived_at: row.try_get("archived_at")?,
        closed_at: row.try_get("closed_at")?,
        edit_no: row.try_get("edit_no")?,
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
    let summary = summary(&row)?;
    let as_it_came = Content {
        value: bytes.record_value,
        headers: RawHeaders::from_bytes(&bytes.record_headers)?,
    };
    let edit_no = summary.edit_no;
    let effective = edits::effective(connection, letter_id, edit_no, as_it_came.clone()).await?;
    let edits = edits::list(connection, letter_id).await?;
    let queued = queue::queued(connection, letter_id).await?;
    let history = sqlx::query_as!(
        HistoryLine,
        r#"SELECT at AS "at: DateTime<Utc>", action, actor, detail FROM dead_letter_history
           WHERE letter_id = ? ORDER BY history_no"#,
        id
    )
    .fetch_all(connection)
    .await?;
    Ok(Some(Letter {
        summary,
        queued,
        key: bytes.record_key,
        value: as_it_came.value,
        headers: as_it_came.headers,
        edited: (edit_no > 0).then_some(effective),
        edits,
        history,
    }))
}
