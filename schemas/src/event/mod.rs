//! What happened: one struct per event, the envelope around it, and the topic and
//! aggregate it belongs to.

pub mod coupons;

use chrono::{DateTime, Utc};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::ids::EventId;
use crate::topics::Topic;

/// What an event is about. Kafka keys are aggregate ids, so a hot campaign does not
/// become one hot partition: only the campaign's own rare events use its id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Aggregate {
    /// A campaign.
    Campaign,
    /// A claim and the coupon it became.
    Claim,
}

impl Aggregate {
    /// The name in the outbox and in metrics.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Campaign => "campaign",
            Self::Claim => "claim",
        }
    }
}

/// An event of the contract.
pub trait DomainEvent: Serialize + DeserializeOwned {
    /// Full Avro name; also the `ce_type`.
    const NAME: &'static str;
    /// The Avro schema, JSON text.
    const SCHEMA: &'static str;
    /// The public topic it goes to.
    const TOPIC: Topic;
    /// What it is about.
    const AGGREGATE: Aggregate;
    /// The field that holds the aggregate's id, which the record's key repeats.
    const KEY_FIELD: &'static str;

    /// Id of the aggregate, the record's key.
    fn aggregate_id(&self) -> String;
}

/// Reads one event of any type: what a decoder offers to [`coupons::CouponEvent::read`].
pub trait ReadEvent<E> {
    /// Reads the value as `T`.
    fn read<T: DomainEvent>(self) -> Result<T, E>;
}

/// A moment as Avro writes it: microseconds since 1970, UTC (`timestamp-micros`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Timestamp(pub i64);

impl From<DateTime<Utc>> for Timestamp {
    fn from(time: DateTime<Utc>) -> Self {
        Self(time.timestamp_micros())
    }
}

impl From<Timestamp> for DateTime<Utc> {
    fn from(time: Timestamp) -> Self {
        DateTime::from_timestamp_micros(time.0).unwrap_or_default()
    }
}

/// The `CloudEvents` attributes that travel beside an event's value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Envelope {
    /// Deduplicate by it.
    pub event_id: EventId,
    /// Full Avro name of the value.
    pub event_type: String,
    /// Key of the record.
    pub aggregate_id: String,
    /// The aggregate's own contiguous number, from 1.
    pub sequence: u64,
    /// When it happened.
    pub time: DateTime<Utc>,
    /// W3C trace context of the request that caused it.
    pub traceparent: Option<String>,
}
