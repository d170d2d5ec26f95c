//! The inbox: what each consumer group has done with each event. A row is written in
//! the transaction of the handler, so that an event changes a group's tables once.

use std::collections::{BTreeSet, HashMap};

use chrono::NaiveDate;
use headgate_schemas::ids::EventId;
use sqlx::{MySql, MySqlPool, QueryBuilder, Row, Transaction};

use crate::multirow;

/// Number of a consumer group in MySQL; see [`group_no`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, sqlx::Type)]
#[sqlx(transparent)]
pub struct GroupNo(u16);

/// What a group has done with an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, sqlx::Type)]
#[sqlx(rename_all = "lowercase")]
pub enum InboxState {
    /// Its change is committed.
    Applied,
    /// A dead letter holds it.
    Dead,
    /// It waits behind a dead letter of its key.
    Parked,
    /// An operator gave it up.
    Discarded,
}

/// The day whose partition holds an event's row. It follows from the event's id, never
/// from the clock: an event that is redelivered on another day meets the row it left.
pub fn event_day(event_id: EventId) -> NaiveDate {
    event_id.timestamp().date_naive().min(LAST_DAY)
}

/// The last day that MySQL's `DATE` holds.
const LAST_DAY: NaiveDate = NaiveDate::from_ymd_opt(9999, 12, 31).expect("a day");

/// The number of the group `name`, which is registered if it is new.
pub async fn group_no(pool: &MySqlPool, name: &str) -> Result<GroupNo, sqlx::Error> {
    // Looked for first: an INSERT that is ignored uses up a number, and there are few.
    if let Some(known) = find_group(pool, name).await? {
        return Ok(known);
    }
    sqlx::query!("INSERT IGNORE INTO consumer_groups (name) VALUES (?)", name)
        .execute(pool)
        .await?;
    find_group(pool, name).await?.ok_or(sqlx::Error::RowNotFound)
}

async fn find_group(pool: &MySqlPool, name: &str) -> Result<Option<GroupNo>, sqlx::Error> {
    sqlx::query_scalar!(
        r#"SELECT group_no AS "group_no: GroupNo" FROM consumer_groups WHERE name = ?"#,
        name
    )
    .fetch_optional(pool)
    .await
}

/// Registers a partition, so that [`lock_partition`] finds its row. True: it is new to
/// the group.
pub async fn register_partition(
    pool: &MySqlPool,
    group: GroupNo,
    topic: &str,
    partition: i32,
) -> Result<bool, sqlx::Error> {
    let registered = sqlx::query!(
        "INSERT IGNORE INTO consumer_partitions (group_no, topic, partition_no) VALUES (?, ?, ?)",
        group.0,
        topic,
        partition
    )
    .execute(pool)
    .await?;
    Ok(registered.rows_affected() == 1)
}

/// Whether the group has worked on a partition before.
pub async fn is_registered(
    pool: &MySqlPool,
    group: GroupNo,
    topic: &str,
    partition: i32,
) -> Result<bool, sqlx::Error> {
    let found = sqlx::query_scalar!(
        "SELECT 1 FROM consumer_partitions WHERE group_no = ? AND topic = ? AND partition_no = ?",
        group.0,
        topic,
        partition
    )
    .fetch_optional(pool)
    .await?;
    Ok(found.is_some())
}

/// Locks a partition for the rest of the transaction: first of all, in every
/// transaction that applies, dead-letters or replays a record of it. False: the
/// partition is not registered.
pub async fn lock_partition(
    transaction: &mut Transaction<'_, MySql>,
    group: GroupNo,
    topic: &str,
    partition: i32,
) -> Result<bool, sqlx::Error> {
    let locked = sqlx::query_scalar!(
        "SELECT partition_no FROM consumer_partitions
         WHERE group_no = ? AND topic = ? AND partition_no = ? FOR UPDATE",
        group.0,
        topic,
        partition
    )
    .fetch_optional(&mut **transaction)
    .await?;
    Ok(locked.is_some())
}

/// Writes the rows of events that this group meets for the first time. One that it
/// met before fails the statement as a duplicate; see [`existing`].
pub async fn record(
    transaction: &mut Transaction<'_, MySql>,
    group: GroupNo,
    events: &[EventId],
    state: InboxState,
) -> Result<(), sqlx::Error> {
    for events in multirow::pieces(events) {
        let mut insert = QueryBuilder::new("INSERT INTO inbox (event_day, group_no, event_id, state) ");
        insert.push_values(events, |mut values, event_id| {
            values
                .push_bind(event_day(*event_id))
                .push_bind(group)
                .push_bind(*event_id)
                .push_bind(state);
        });
        insert.build().execute(&mut **transaction).await?;
    }
    Ok(())
}

/// Below MySQL's `eq_range_index_dive_limit`. Above it the server judges by statistics, and may
/// read the whole day.
const EVENTS_AT_ONCE: usize = 128;

/// Those of `events` that the group has met, and what it did with them.
pub async fn existing(
    transaction: &mut Transaction<'_, MySql>,
    group: GroupNo,
    events: &[EventId],
) -> Result<HashMap<EventId, InboxState>, sqlx::Error> {
    let mut found = HashMap::new();
    for events in events.chunks(EVENTS_AT_ONCE) {
        let mut select = QueryBuilder::new("SELECT event_id, state FROM inbox WHERE group_no = ");
        select.push_bind(group);
        push_events(&mut select, events);
        for row in select.build().fetch_all(&mut **transaction).await? {
            // Unchecked: MySQL reports an ENUM of a binary collation as BINARY.
            found.insert(row.try_get("event_id")?, row.try_get_unchecked("state")?);
        }
    }
    Ok(found)
}

/// Moves events from one state to another; returns how many were in state `from`.
pub async fn move_all(
    transaction: &mut Transaction<'_, MySql>,
    group: GroupNo,
    events: &[EventId],
    from: InboxState,
    to: InboxState,
) -> Result<usize, sqlx::Error> {
    let mut moved = 0;
    for events in events.chunks(EVENTS_AT_ONCE) {
        let mut update = QueryBuilder::new("UPDATE inbox SET state = ");
        update.push_bind(to).push(" WHERE state = ").push_bind(from);
        update.push(" AND group_no = ").push_bind(group);
        push_events(&mut update, events);
        moved += update.build().execute(&mut **transaction).await?.rows_affected();
    }
    Ok(usize::try_from(moved).unwrap_or(usize::MAX))
}

/// Adds the condition that names these events and the days of their partitions. Not as pairs
/// `(event_id, event_day) IN (...)`: MySQL 9.7 chooses the partitions of a prepared
/// statement by such a list before the values are there, finds nothing the first time, and
/// in an UPDATE fails on what it reads instead. The day follows from the id.
fn push_events(query: &mut QueryBuilder<MySql>, events: &[EventId]) {
    query.push(" AND event_id IN (");
    let mut list = query.separated(", ");
    for event_id in multirow::padded(events) {
        list.push_bind(event_id);
    }
    query.push(") AND event_day IN (");
    let days: BTreeSet<NaiveDate> = events.iter().copied().map(event_day).collect();
    let days: Vec<NaiveDate> = days.into_iter().collect();
    let mut list = query.separated(", ");
    for day in multirow::padded(&days) {
        list.push_bind(day);
    }
    query.push(")");
}

/// Moves an event from one state to another. False: it was not in state `from`.
pub async fn compare_and_set(
    transaction: &mut Transaction<'_, MySql>,
    group: GroupNo,
    event_id: EventId,
    from: InboxState,
    to: InboxState,
) -> Result<bool, sqlx::Error> {
    let moved = sqlx::query!(
        "UPDATE inbox SET state = ? WHERE group_no = ? AND event_id = ? AND event_day = ? AND state = ?",
        to,
        group.0,
        event_id.as_bytes().as_slice(),
        event_day(event_id),
        from
    )
    .execute(&mut **transaction)
    .await?;
    Ok(moved.rows_affected() == 1)
}
