//! Writing events. The only way in takes an open transaction, so that no event can
//! be written without its change, nor a change without its event.

use std::sync::Arc;

use chrono::{DateTime, Utc};
use headgate_runtime::process::{PROCESS_BITS, ProcessNumber};
use headgate_schemas::codec::Encoder;
use headgate_schemas::event::DomainEvent;
use headgate_schemas::headers::RawHeaders;
use headgate_schemas::ids::EventId;
use headgate_schemas::topics::TopicNames;
use sqlx::{MySql, QueryBuilder, Row, Transaction};

use crate::Error;
use crate::archive;
use crate::bucket::Bucket;
use crate::id::IdSource;
use crate::multirow;

/// A row of the outbox, ready to be inserted.
#[derive(Clone, Debug)]
pub struct OutboxRow {
    /// Which part of the outbox.
    pub bucket: Bucket,
    /// Its place there.
    pub id: u64,
    /// Deduplicated by.
    pub event_id: EventId,
    /// `campaign`, `claim`, `record` for a copied record, or `refed`.
    pub aggregate_type: &'static str,
    /// Key of the record (unless `copied` brings its own).
    pub aggregate_id: String,
    /// `ce_type`.
    pub event_type: String,
    /// `ce_sequence`.
    pub sequence: u64,
    /// Where it goes, under the installation's prefix.
    pub topic: String,
    /// The value.
    pub payload: Option<Vec<u8>>,
    /// Key and headers of a copied record, which replace ours.
    pub copied: Option<CopiedRecord>,
    /// Trace of the request that caused it.
    pub traceparent: Option<String>,
    /// `ce_time`.
    pub created_at: DateTime<Utc>,
    /// Id of the aggregate's event before this one; 0 for its first, and for copies.
    pub after_id: u64,
}

/// Key and headers that a copied record (a dead letter, a replay) travels with.
#[derive(Clone, Debug, Default)]
pub struct CopiedRecord {
    /// The key, byte for byte.
    pub key: Option<Vec<u8>>,
    /// All headers; none of ours are added.
    pub headers: RawHeaders,
}

/// An event that was written, in short.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Written {
    /// Where it goes.
    pub topic: String,
    /// `ce_type`.
    pub event_type: String,
    /// Key of the record.
    pub aggregate_id: String,
}

/// What precedes an event in its aggregate. Read it under the aggregate's lock.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Predecessor {
    /// `event_sequence` of the aggregate's row; 0 for a new aggregate.
    pub sequence: u64,
    /// `last_outbox_id` of the aggregate's row; 0 for a new aggregate.
    pub outbox_id: u64,
}

/// Turns events into rows. One per process; clones share it.
#[derive(Clone)]
pub struct EventWriter {
    encoder: Arc<Encoder>,
    names: TopicNames,
    ids: Arc<IdSource>,
}

impl EventWriter {
    /// A writer with the registered schemas, for this installation's topics.
    pub fn new(encoder: Encoder, names: TopicNames, process: ProcessNumber) -> Self {
        Self {
            encoder: Arc::new(encoder),
            names,
            ids: Arc::new(IdSource::new(process)),
        }
    }

    /// A writer of the same events as another process: what it writes can be told from the
    /// rest, see [`EventWriter::written_since`].
    #[must_use]
    pub fn of_process(&self, process: ProcessNumber) -> Self {
        Self {
            ids: Arc::new(IdSource::new(process)),
            ..self.clone()
        }
    }

    /// Below the id of every row that this writer makes from now on.
    pub fn mark(&self) -> u64 {
        self.ids.next(0)
    }

    /// What this writer has written since `mark`, as `transaction` sees it, up to `events_max`.
    pub async fn written_since(
        &self,
        transaction: &mut Transaction<'_, MySql>,
        mark: u64,
        events_max: u32,
    ) -> Result<Vec<Written>, Error> {
        // Every bucket by its name: sixteen short ranges of the primary key.
        let mut select =
            QueryBuilder::new("SELECT topic, event_type, aggregate_id FROM outbox WHERE bucket IN (");
        let mut buckets = select.separated(", ");
        for bucket in Bucket::all() {
            buckets.push_bind(bucket);
        }
        let process = self.ids.process();
        select.push(") AND id > ").push_bind(mark);
        select.push(" AND id & ").push_bind((1_u64 << PROCESS_BITS) - 1);
        select.push(" = ").push_bind(process.low_bits());
        select.push(" ORDER BY id LIMIT ").push_bind(events_max);
        let rows = select.build().fetch_all(&mut **transaction).await?;
        rows.iter()
            .map(|row| {
                let aggregate_id: Vec<u8> = row.try_get("aggregate_id")?;
                Ok(Written {
                    topic: row.try_get("topic")?,
                    event_type: row.try_get("event_type")?,
                    aggregate_id: String::from_utf8_lossy(&aggregate_id).into_owned(),
                })
            })
            .collect()
    }

    /// Names of this installation's topics.
    pub const fn names(&self) -> &TopicNames {
        &self.names
    }

    /// Writes the values of events.
    pub fn encoder(&self) -> &Encoder {
        &self.encoder
    }

    /// The row of an event. Store the row's `sequence` and `id` on the aggregate's own
    /// row in the same transaction.
    pub fn row<T: DomainEvent>(
        &self,
        event: &T,
        after: Predecessor,
        time: DateTime<Utc>,
        traceparent: Option<String>,
    ) -> Result<OutboxRow, Error> {
        let aggregate_id = event.aggregate_id();
        Ok(OutboxRow {
            bucket: Bucket::of(&aggregate_id),
            id: self.ids.next(after.outbox_id),
            event_id: EventId::generate(),
            aggregate_type: T::AGGREGATE.as_str(),
            aggregate_id,
            event_type: T::NAME.to_owned(),
            sequence: after.sequence + 1,
            topic: self.names.public(&T::TOPIC),
            payload: Some(self.encoder.encode(event)?),
            copied: None,
            traceparent,
            created_at: time,
            after_id: after.outbox_id,
        })
    }

    /// The row of a copied record: it goes to `topic` with the key, headers and value
    /// given and nothing else. Copies of one `order_key` keep their order.
    pub fn copy(
        &self,
        topic: String,
        order_key: &str,
        event_id: EventId,
        event_type: String,
        record: CopiedRecord,
        payload: Option<Vec<u8>>,
    ) -> OutboxRow {
        OutboxRow {
            bucket: Bucket::of(order_key),
            id: self.ids.next(0),
            event_id,
            aggregate_type: "record",
            aggregate_id: order_key.to_owned(),
            event_type,
            sequence: 0,
            topic,
            payload,
            copied: Some(record),
            traceparent: None,
            created_at: Utc::now(),
            after_id: 0,
        }
    }

    /// The row of an event that was published before and goes to `topic` once more: the same
    /// event, in the order of its key among those that go again. It blocks nothing else.
    pub fn again(&self, event: &archive::Published, topic: String) -> OutboxRow {
        OutboxRow {
            bucket: event.bucket(),
            id: self.ids.next(0),
            event_id: event.event_id,
            aggregate_type: "refed",
            aggregate_id: String::from_utf8_lossy(&event.aggregate_id).into_owned(),
            event_type: event.event_type.clone(),
            sequence: event.sequence,
            topic,
            payload: event.payload.clone(),
            copied: None,
            traceparent: event.traceparent.clone(),
            created_at: event.created_at,
            after_id: 0,
        }
    }

    /// Inserts rows into the outbox, as part of `transaction`.
    pub async fn write(transaction: &mut Transaction<'_, MySql>, rows: &[OutboxRow]) -> Result<(), Error> {
        for rows in multirow::pieces(rows) {
            insert(rows).build().execute(&mut **transaction).await?;
        }
        Ok(())
    }
}

fn insert(rows: &[OutboxRow]) -> QueryBuilder<MySql> {
    let mut insert = QueryBuilder::new(
        "INSERT INTO outbox (bucket, id, event_id, aggregate_type, aggregate_id, event_type, sequence, topic,
             payload, raw_key, raw_headers, traceparent, created_at, after_id) ",
    );
    insert.push_values(rows, |mut values, row| {
        values
            .push_bind(row.bucket.get())
            .push_bind(row.id)
            .push_bind(row.event_id)
            .push_bind(row.aggregate_type)
            .push_bind(row.aggregate_id.as_bytes())
            .push_bind(&row.event_type)
            .push_bind(row.sequence)
            .push_bind(&row.topic)
            .push_bind(row.payload.as_deref())
            .push_bind(row.copied.as_ref().and_then(|copied| copied.key.as_deref()))
            .push_bind(row.copied.as_ref().map(|copied| copied.headers.to_bytes()))
            .push_bind(row.traceparent.as_deref())
            .push_bind(row.created_at)
            .push_bind(row.after_id);
    });
    insert
}
