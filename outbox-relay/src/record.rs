//! How a row becomes a Kafka record: CloudEvents in binary mode for events of our own;
//! copied records travel with exactly the key and headers they came with.

use chrono::SecondsFormat;
use headgate_outbox::claim::PendingRow;
use headgate_schemas::headers::{self, InvalidHeaders, RawHeaders};
use rdkafka::message::{Header, OwnedHeaders};
use uuid::Uuid;

/// Most headers of an event of our own.
const HEADERS: usize = 9;

/// Key and headers of a record; its value is the row's payload as it is.
#[derive(Debug)]
pub struct Record<'r> {
    /// The key.
    pub key: Option<&'r [u8]>,
    /// The headers, in order.
    pub headers: OwnedHeaders,
}

/// The record of a row. Fails only on a copied record whose stored headers are damaged.
pub fn record<'r>(row: &'r PendingRow, source: &str) -> Result<Record<'r>, InvalidHeaders> {
    match &row.raw_headers {
        None => Ok(Record {
            key: Some(&row.aggregate.aggregate_id),
            headers: cloud_event(row, source),
        }),
        Some(stored) => Ok(Record {
            key: row.raw_key.as_deref(),
            headers: raw(&RawHeaders::from_bytes(stored)?),
        }),
    }
}

fn cloud_event(row: &PendingRow, source: &str) -> OwnedHeaders {
    let time = row.created_at.to_rfc3339_opts(SecondsFormat::Micros, true);
    let sequence = row.sequence.to_string();
    let mut id = Uuid::encode_buffer();
    let id = row
        .event_id
        .as_uuid()
        .hyphenated()
        .encode_lower(&mut id)
        .as_bytes();
    let mut headers = OwnedHeaders::new_with_capacity(HEADERS);
    let attributes: [(&str, &[u8]); 8] = [
        (headers::CE_SPECVERSION, headers::CE_SPECVERSION_VALUE.as_bytes()),
        (headers::CE_ID, id),
        (headers::CE_TYPE, row.event_type.as_bytes()),
        (headers::CE_SOURCE, source.as_bytes()),
        (headers::CE_SUBJECT, &row.aggregate.aggregate_id),
        (headers::CE_TIME, time.as_bytes()),
        (headers::CE_SEQUENCE, sequence.as_bytes()),
        (headers::CONTENT_TYPE, headers::CONTENT_TYPE_VALUE.as_bytes()),
    ];
    for (key, value) in attributes {
        headers = headers.insert(Header {
            key,
            value: Some(value),
        });
    }
    if let Some(traceparent) = &row.traceparent {
        let value = Some(traceparent.as_bytes());
        headers = headers.insert(Header {
            key: headers::TRACEPARENT,
            value,
        });
    }
    headers
}

fn raw(stored: &RawHeaders) -> OwnedHeaders {
    let headers = OwnedHeaders::new_with_capacity(stored.0.len());
    stored.0.iter().fold(headers, |headers, (key, value)| {
        headers.insert(Header {
            key,
            value: value.as_deref(),
        })
    })
}

/// An upper bound of the bytes that a row's record takes in Kafka.
pub fn bytes_at_most(row: &PendingRow) -> usize {
    /// Of an event of our own: names and values that do not depend on the row, lengths,
    /// offset and time.
    const OVERHEAD_BYTES: usize = 512;
    let value = row.payload.as_ref().map_or(0, Vec::len);
    let key = row.raw_key.as_ref().unwrap_or(&row.aggregate.aggregate_id).len();
    let headers = row
        .raw_headers
        .as_ref()
        .map_or(row.event_type.len() + key, Vec::len);
    value + key + headers + OVERHEAD_BYTES
}
