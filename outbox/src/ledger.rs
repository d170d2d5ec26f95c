//! What was published, without its bytes, and whether an event is anywhere: what the
//! reconciliation of the pipe reads. An event goes from `outbox` to `outbox_blocked` or to
//! `outbox_archive` within one transaction, so in one consistent snapshot it is in exactly
//! one of them.

use std::collections::{HashMap, HashSet};

use chrono::{DateTime, Days, NaiveDate, TimeDelta, Utc};
use headgate_runtime::process::PROCESS_BITS;
use headgate_schemas::ids::EventId;
use sqlx::{MySqlConnection, MySqlExecutor, QueryBuilder, Row};

use crate::Error;
use crate::archive::{PAGE_ROWS_MAX, Position};
use crate::bucket::{BUCKETS, Bucket};
use crate::places::Places;

/// For so long after it said so, a relay that keeps no archive is taken to run. It says so
/// far more often ([`SAY_EVERY`]).
pub const UNARCHIVED_FOR: TimeDelta = TimeDelta::seconds(60);
/// How often a relay that keeps no archive says so.
pub const SAY_EVERY: std::time::Duration = std::time::Duration::from_secs(5);

/// A published event, and where it lies.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Its place in the archive.
    pub position: Position,
    /// Deduplicated by.
    pub event_id: EventId,
    /// Key of the record.
    pub aggregate_id: String,
    /// `ce_type`.
    pub event_type: String,
    /// `ce_sequence`.
    pub sequence: u64,
    /// Id of the aggregate's event before this one; 0: none, or not known.
    pub after_id: u64,
    /// The topic, as Kafka names it.
    pub topic: String,
    /// The partition there.
    pub partition: i32,
    /// Its offset there.
    pub offset: i64,
}

/// A place in the outbox, which an event keeps wherever it goes: bucket and id.
pub type Place = (Bucket, u64);

/// When an outbox id was made, by the clock of whoever made it.
pub fn made_at(outbox_id: u64) -> DateTime<Utc> {
    let micros = i64::try_from(outbox_id >> PROCESS_BITS).unwrap_or(i64::MAX);
    DateTime::from_timestamp_micros(micros).unwrap_or(DateTime::<Utc>::MAX_UTC)
}

/// The lowest outbox id that is made at `time`.
pub fn id_at(time: DateTime<Utc>) -> u64 {
    u64::try_from(time.timestamp_micros()).unwrap_or_default() << PROCESS_BITS
}

/// The next `limit` (at most [`PAGE_ROWS_MAX`]) events of the day and bucket of `after` that
/// were published to `topics`, in order of id. Copies of records are left out.
pub async fn entries(
    on: impl MySqlExecutor<'_>,
    topics: &[String],
    after: Position,
    limit: u32,
) -> Result<Vec<Entry>, Error> {
    let mut select = QueryBuilder::new(
        "SELECT id, event_id, CAST(aggregate_id AS CHAR) AS aggregate_id, event_type, sequence, after_id, topic,
             kafka_partition, kafka_offset
         FROM outbox_archive WHERE published_day = ",
    );
    select.push_bind(after.day);
    select.push(" AND bucket = ").push_bind(after.bucket);
    select.push(" AND id > ").push_bind(after.id);
    select.push(" AND raw_headers IS NULL AND topic IN (");
    let mut list = select.separated(", ");
    for topic in topics {
        list.push_bind(topic);
    }
    select.push(") ORDER BY id LIMIT ");
    select.push_bind(limit.min(PAGE_ROWS_MAX));
    let rows = select.build().fetch_all(on).await?;
    rows.iter()
        .map(|row| {
            Ok(Entry {
                position: Position {
                    id: row.try_get("id")?,
                    ..after
                },
                event_id: row.try_get("event_id")?,
                aggregate_id: row.try_get("aggregate_id")?,
                event_type: row.try_get("event_type")?,
                sequence: row.try_get("sequence")?,
                after_id: row.try_get("after_id")?,
                topic: row.try_get("topic")?,
                partition: row.try_get("kafka_partition")?,
                offset: row.try_get("kafka_offset")?,
            })
        })
        .collect()
}

impl Position {
    /// Behind `id` in the bucket that comes after this one's, of the same day or the next.
    #[must_use]
    pub fn next_bucket(self, id: u64) -> Self {
        let bucket = self.bucket + 1;
        if bucket < BUCKETS {
            return Self { bucket, id, ..self };
        }
        Self {
            day: self.day + Days::new(1),
            bucket: 0,
            id,
        }
    }
}

/// Those of `places` at which there is an event: waiting, blocked, or published until
/// `today`. What was published is looked for from the day before the oldest of them was made:
/// clocks differ.
pub async fn known(
    connection: &mut MySqlConnection,
    places: &[Place],
    today: NaiveDate,
) -> Result<HashSet<Place>, Error> {
    let mut known = HashSet::with_capacity(places.len());
    let Some(oldest) = places.iter().map(|(_, id)| *id).min() else {
        return Ok(known);
    };
    known.extend(waiting_at(connection, &listed(places.iter())).await?);
    let first = made_at(oldest).date_naive().min(today) - Days::new(1);
    // The usual case first: published when it was written.
    for day in first.iter_days().take_while(|day| *day <= today) {
        let missing = listed(places.iter().filter(|place| !known.contains(*place)));
        if missing.count() == 0 {
            break;
        }
        known.extend(published_at(connection, &missing, day).await?);
    }
    Ok(known)
}

fn listed<'p>(wanted: impl Iterator<Item = &'p Place>) -> Places {
    let mut places = Places::with_capacity(0);
    for (bucket, id) in wanted {
        places.push(*bucket, *id);
    }
    places
}

async fn waiting_at(connection: &mut MySqlConnection, places: &Places) -> Result<Vec<Place>, sqlx::Error> {
    let found = sqlx::query!(
        r#"SELECT o.bucket AS "bucket!: Bucket", o.id AS "id!"
           FROM JSON_TABLE(?, '$[*]' COLUMNS (bucket SMALLINT UNSIGNED PATH '$[0]', id BIGINT UNSIGNED PATH '$[1]'))
               AS place
           STRAIGHT_JOIN outbox AS o ON o.bucket = place.bucket AND o.id = place.id
           UNION ALL
           SELECT b.bucket, b.id
           FROM JSON_TABLE(?, '$[*]' COLUMNS (bucket SMALLINT UNSIGNED PATH '$[0]', id BIGINT UNSIGNED PATH '$[1]'))
               AS place
           STRAIGHT_JOIN outbox_blocked AS b ON b.bucket = place.bucket AND b.id = place.id"#,
        places.as_str(),
        places.as_str()
    )
    .fetch_all(connection)
    .await?;
    Ok(found.into_iter().map(|row| (row.bucket, row.id)).collect())
}

async fn published_at(
    connection: &mut MySqlConnection,
    places: &Places,
    day: NaiveDate,
) -> Result<Vec<Place>, sqlx::Error> {
    let found = sqlx::query!(
        r#"SELECT a.bucket AS "bucket: Bucket", a.id
           FROM JSON_TABLE(?, '$[*]' COLUMNS (bucket SMALLINT UNSIGNED PATH '$[0]', id BIGINT UNSIGNED PATH '$[1]'))
               AS place
           STRAIGHT_JOIN outbox_archive AS a
               ON a.published_day = ? AND a.bucket = place.bucket AND a.id = place.id"#,
        places.as_str(),
        day
    )
    .fetch_all(connection)
    .await?;
    Ok(found.into_iter().map(|row| (row.bucket, row.id)).collect())
}

/// How many events wait to be published or are blocked, by topic, counted up to `at_most` of
/// either: a count walks the rows. Copies of records are left out.
pub async fn waiting(connection: &mut MySqlConnection, at_most: u64) -> Result<HashMap<String, u64>, Error> {
    let counted = sqlx::query!(
        r#"SELECT topic, COUNT(*) AS "events!: u64" FROM (
               (SELECT topic FROM outbox FORCE INDEX (PRIMARY) WHERE raw_headers IS NULL LIMIT ?)
               UNION ALL
               (SELECT topic FROM outbox_blocked FORCE INDEX (PRIMARY) WHERE raw_headers IS NULL LIMIT ?)
           ) AS pending GROUP BY topic"#,
        at_most,
        at_most
    )
    .fetch_all(connection)
    .await?;
    Ok(counted.into_iter().map(|row| (row.topic, row.events)).collect())
}

/// Says that events are published now without being archived.
pub async fn say_unarchived(on: impl MySqlExecutor<'_>) -> Result<(), Error> {
    sqlx::query!(
        "INSERT INTO outbox_unarchived (only_row, last_at) VALUES (1, UTC_TIMESTAMP(6))
         ON DUPLICATE KEY UPDATE last_at = UTC_TIMESTAMP(6)"
    )
    .execute(on)
    .await?;
    Ok(())
}

/// When a relay last ran that keeps no archive. `None`: never.
pub async fn unarchived_at(on: impl MySqlExecutor<'_>) -> Result<Option<DateTime<Utc>>, Error> {
    let last = sqlx::query_scalar!(r#"SELECT last_at AS "last_at: DateTime<Utc>" FROM outbox_unarchived"#)
        .fetch_optional(on)
        .await?;
    Ok(last)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_says_when_it_was_made() {
        let time = DateTime::from_timestamp_micros(1_800_000_000_123_456).expect("a time");
        assert_eq!(made_at(id_at(time) + 7), time);
        assert_eq!(made_at(u64::MAX).date_naive().to_string().len(), 10);
    }

    #[test]
    fn buckets_are_walked_in_order_day_by_day() {
        let day = NaiveDate::from_ymd_opt(2026, 11, 30).expect("a day");
        let mut position = Position::before(day);
        for _ in 1..BUCKETS {
            position = position.next_bucket(7);
        }
        assert_eq!(
            (position.day, position.bucket, position.id),
            (day, BUCKETS - 1, 7)
        );
        let next = position.next_bucket(7);
        assert_eq!(
            (next.day.to_string().as_str(), next.bucket, next.id),
            ("2026-12-01", 0, 7)
        );
    }
}
