//! What was published: looked up, and written again for one group.

use chrono::{DateTime, NaiveDate, Utc};
use headgate_schemas::ids::EventId;
use sqlx::{MySqlPool, QueryBuilder, Row};

use crate::Error;
use crate::bucket::Bucket;

/// Most rows of a page.
pub const PAGE_ROWS_MAX: u32 = 1_000;

/// A row's place in the archive. A page begins behind one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Position {
    /// The day on which it was published.
    pub day: NaiveDate,
    /// Its bucket.
    pub bucket: u16,
    /// Its id.
    pub id: u64,
}

impl Position {
    /// Before everything that was published on `day` or later.
    pub const fn before(day: NaiveDate) -> Self {
        Self {
            day,
            bucket: 0,
            id: 0,
        }
    }
}

impl std::fmt::Display for Position {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}_{}_{}", self.day, self.bucket, self.id)
    }
}

impl std::str::FromStr for Position {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let mut parts = text.split('_');
        let mut next = || parts.next().ok_or(());
        let position = Self {
            day: next()?.parse().map_err(drop)?,
            bucket: next()?.parse().map_err(drop)?,
            id: next()?.parse().map_err(drop)?,
        };
        parts.next().is_none().then_some(position).ok_or(())
    }
}

/// An event, and where it was published.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Published {
    /// Its place here.
    pub position: Position,
    /// Deduplicated by.
    pub event_id: EventId,
    /// Key of the record.
    pub aggregate_id: Vec<u8>,
    /// `ce_type`.
    pub event_type: String,
    /// `ce_sequence`.
    pub sequence: u64,
    /// The topic, as Kafka names it.
    pub topic: String,
    /// The partition there.
    pub partition: i32,
    /// Its offset there.
    pub offset: i64,
    /// The value.
    pub payload: Option<Vec<u8>>,
    /// Trace of the request that caused it.
    pub traceparent: Option<String>,
    /// `ce_time`.
    pub created_at: DateTime<Utc>,
}

/// The next `limit` (at most [`PAGE_ROWS_MAX`]) of what was published to `topics`, in one
/// order: by day, bucket and id. Copies of records are left out.
pub async fn page(
    pool: &MySqlPool,
    topics: &[String],
    after: Position,
    limit: u32,
) -> Result<Vec<Published>, Error> {
    let Position { day, bucket, id } = after;
    let mut select = QueryBuilder::new(
        "SELECT published_day, bucket, id, event_id, aggregate_id, event_type, sequence, topic, kafka_partition,
             kafka_offset, payload, traceparent, created_at
         FROM outbox_archive WHERE (published_day > ",
    );
    // Spelled out: MySQL finds no range in a comparison of rows.
    select.push_bind(day).push(" OR published_day = ").push_bind(day);
    select.push(" AND (bucket > ").push_bind(bucket);
    select.push(" OR bucket = ").push_bind(bucket);
    select.push(" AND id > ").push_bind(id);
    select.push(")) AND raw_headers IS NULL AND topic IN (");
    let mut list = select.separated(", ");
    for topic in topics {
        list.push_bind(topic.clone());
    }
    select.push(") ORDER BY published_day, bucket, id LIMIT ");
    select.push_bind(limit.min(PAGE_ROWS_MAX));
    let rows = select.build().fetch_all(pool).await?;
    rows.iter()
        .map(|row| {
            Ok(Published {
                position: Position {
                    day: row.try_get("published_day")?,
                    bucket: row.try_get("bucket")?,
                    id: row.try_get("id")?,
                },
                event_id: row.try_get("event_id")?,
                aggregate_id: row.try_get("aggregate_id")?,
                event_type: row.try_get("event_type")?,
                sequence: row.try_get("sequence")?,
                topic: row.try_get("topic")?,
                partition: row.try_get("kafka_partition")?,
                offset: row.try_get("kafka_offset")?,
                payload: row.try_get("payload")?,
                traceparent: row.try_get("traceparent")?,
                created_at: row.try_get("created_at")?,
            })
        })
        .collect()
}

impl Published {
    /// The bucket in which it goes to a group again.
    pub(crate) fn bucket(&self) -> Bucket {
        Bucket::of(&String::from_utf8_lossy(&self.aggregate_id))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_position_is_read_as_it_is_written() {
        let day = NaiveDate::from_ymd_opt(2026, 11, 22).expect("a day");
        let position = Position {
            bucket: 15,
            id: u64::MAX,
            ..Position::before(day)
        };
        assert_eq!(position.to_string().parse(), Ok(position));
        for wrong in [
            "",
            "2026-11-22",
            "2026-11-22_1",
            "2026-11-22_1_2_3",
            "x_1_2",
            "2026-11-22_1_-2",
        ] {
            assert_eq!(wrong.parse::<Position>(), Err(()), "{wrong}");
        }
    }
}
