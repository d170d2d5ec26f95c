//! Unsettled letters, with what the inbox must say of their events.

use std::collections::HashSet;

use headgate_outbox::inbox::{GroupNo, InboxState};
use headgate_schemas::ids::{DeadLetterId, EventId};
use sqlx::{MySqlConnection, QueryBuilder, Row};

use super::inbox_state;
use crate::Error;

/// A letter that is not settled.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unsettled {
    /// The letter.
    pub letter_id: DeadLetterId,
    /// Its event.
    pub event_id: EventId,
    /// What the inbox of the group must say of it.
    pub expected: InboxState,
    /// Where its record came from.
    pub topic: String,
    /// The partition there.
    pub partition: i32,
    /// The offset there.
    pub offset: i64,
}

/// States of letters that are not settled.
const UNSETTLED: [&str; 4] = ["open", "replaying", "archived", "quarantined"];

/// Those of `events`, not too many, of which another group than `group` has or had a letter.
pub async fn with_letters_elsewhere(
    connection: &mut MySqlConnection,
    group: GroupNo,
    events: &[EventId],
) -> Result<HashSet<EventId>, Error> {
    if events.is_empty() {
        return Ok(HashSet::new());
    }
    let mut select = QueryBuilder::new(
        "SELECT d.event_id FROM consumer_groups g STRAIGHT_JOIN dead_letters d ON d.group_no = g.group_no
         WHERE g.group_no <> ",
    );
    select.push_bind(group).push(" AND d.event_id IN (");
    let mut list = select.separated(", ");
    for event_id in events {
        list.push_bind(*event_id);
    }
    select.push(")");
    let found: Vec<EventId> = select.build_query_scalar().fetch_all(connection).await?;
    Ok(found.into_iter().collect())
}

/// The next `limit` unsettled letters of the group behind `after`, in order of their ids.
pub async fn unsettled(
    connection: &mut MySqlConnection,
    group: GroupNo,
    after: DeadLetterId,
    limit: u32,
) -> Result<Vec<Unsettled>, Error> {
    // Each state along its index, which ends with the letter's id.
    let mut select = QueryBuilder::new("");
    for state in UNSETTLED {
        if state != UNSETTLED[0] {
            select.push(" UNION ALL ");
        }
        select.push(
            "(SELECT letter_id, event_id, state, disposition, topic, partition_no, kafka_offset
              FROM dead_letters FORCE INDEX (dead_letters_by_state) WHERE state = ",
        );
        select.push_bind(state).push(" AND group_no = ").push_bind(group);
        select.push(" AND letter_id > ").push_bind(after);
        select
            .push(" ORDER BY letter_id LIMIT ")
            .push_bind(limit)
            .push(")");
    }
    let rows = select.build().fetch_all(connection).await?;
    let mut letters = rows
        .iter()
        .map(|row| {
            Ok(Unsettled {
                letter_id: row.try_get("letter_id")?,
                event_id: row.try_get("event_id")?,
                // Unchecked: MySQL reports an ENUM of a binary collation as BINARY.
                expected: inbox_state(
                    row.try_get_unchecked("state")?,
                    row.try_get_unchecked("disposition")?,
                ),
                topic: row.try_get("topic")?,
                partition: row.try_get("partition_no")?,
                offset: row.try_get("kafka_offset")?,
            })
        })
        .collect::<Result<Vec<_>, sqlx::Error>>()?;
    letters.sort_unstable_by_key(|letter| letter.letter_id);
    letters.truncate(usize::try_from(limit).unwrap_or(usize::MAX));
    Ok(letters)
}
