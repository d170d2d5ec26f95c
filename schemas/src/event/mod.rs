//! What happened: one struct per event, the envelope around it, and the topic and
//! aggregate it belongs to.

pub mod coupons;
pub mod points;

use chrono::{DateTime, Utc};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::ids::{EventId, PartnerId};
use crate::topics::Topic;

/// What an event is about. Kafka keys are aggregate ids, so a hot campaign does not
/// become one hot partition: only the campaign's own rare events use its id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Aggregate {
    /// A campaign.
    Campaign,
    /// A claim and the coupon it became.
    Claim,
    /// A user's points with a partner.
    Wallet,
}

impl Aggregate {
    /// The name in the outbox and in metrics.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Campaign => "campaign",
            Self::Claim => "claim",
            Self::Wallet => "wallet",
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

/// Any event of the contract, by its topic.
#[derive(Clone, Debug, PartialEq)]
pub enum Event {
    /// About campaigns, claims and coupons.
    Coupon(coupons::CouponEvent),
    /// About points.
    Points(Box<points::PointsEvent>),
}

impl Event {
    /// Reads the event called `name` with `read`; `None` if there is no such event.
    pub fn read<E>(name: &str, read: impl ReadEvent<E>) -> Option<Result<Self, E>> {
        if name.starts_with(points::NAMESPACE) {
            return Some(points::PointsEvent::read(name, read)?.map(|event| Self::Points(Box::new(event))));
        }
        Some(coupons::CouponEvent::read(name, read)?.map(Self::Coupon))
    }

    /// Full Avro name; also its `ce_type`.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Coupon(event) => event.name(),
            Self::Points(event) => event.name(),
        }
    }

    /// Id of what it is about, the record's key.
    pub fn aggregate_id(&self) -> String {
        match self {
            Self::Coupon(event) => event.aggregate_id(),
            Self::Points(event) => event.aggregate_id(),
        }
    }

    /// The partner whose business it is.
    pub fn partner_id(&self) -> PartnerId {
        match self {
            Self::Coupon(event) => event.partner_id(),
            Self::Points(event) => event.partner_id(),
        }
    }

    /// Its fields, with times as Avro holds them.
    pub(crate) fn fields(&self) -> serde_json::Result<serde_json::Value> {
        match self {
            Self::Coupon(event) => event.fields(),
            Self::Points(event) => event.fields(),
        }
    }
}

/// The schema of an event.
#[derive(Clone, Copy, Debug)]
pub struct EventSchema {
    /// The topic that the event goes to.
    pub topic: Topic,
    /// Full Avro name of the event.
    pub name: &'static str,
    /// The Avro schema, JSON text.
    pub text: &'static str,
}

/// The schema of each event of the contract.
pub fn schemas() -> impl Iterator<Item = EventSchema> {
    coupons::SCHEMAS.iter().chain(points::SCHEMAS).copied()
}

/// Reads one event of any type: what a decoder offers to [`Event::read`].
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

/// The events of one topic: a struct for each, which mirrors its schema, the enum of them all,
/// and the list of their schemas.
macro_rules! topic_events {
    ($enum:ident, $topic:ident, $folder:literal:
        $($(#[$doc:meta])* $name:ident, $file:literal, $aggregate:ident($key:ident), {
            $($(#[$field_doc:meta])* $field:ident: $type:ty,)*
        })*
    ) => {
        $(
            $(#[$doc])*
            #[derive(Clone, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
            pub struct $name {
                $($(#[$field_doc])* pub $field: $type,)*
            }

            impl super::DomainEvent for $name {
                const NAME: &'static str = concat!("io.headgate.", $folder, ".", stringify!($name));
                const SCHEMA: &'static str = include_str!(concat!("../../avro/", $folder, "/", $file, ".avsc"));
                const TOPIC: crate::topics::Topic = crate::topics::$topic;
                const AGGREGATE: super::Aggregate = super::Aggregate::$aggregate;
                const KEY_FIELD: &'static str = stringify!($key);

                fn aggregate_id(&self) -> String {
                    self.$key.to_string()
                }
            }
        )*

        /// Any event of the topic.
        #[derive(Clone, Debug, PartialEq)]
        pub enum $enum {
            $(#[doc = concat!("[`", stringify!($name), "`]")] $name($name),)*
        }

        /// What the names of these events begin with.
        pub const NAMESPACE: &str = concat!("io.headgate.", $folder, ".");

        /// Schema of each event of the topic.
        pub const SCHEMAS: &[super::EventSchema] = &[
            $(super::EventSchema {
                topic: crate::topics::$topic,
                name: <$name as super::DomainEvent>::NAME,
                text: <$name as super::DomainEvent>::SCHEMA,
            },)*
        ];

        impl $enum {
            /// Reads the event called `name` with `read`; `None` if this topic knows no such event.
            pub fn read<E>(name: &str, read: impl super::ReadEvent<E>) -> Option<Result<Self, E>> {
                $(
                    if name == <$name as super::DomainEvent>::NAME {
                        return Some(read.read().map(Self::$name));
                    }
                )*
                None
            }

            /// Full Avro name; also its `ce_type`.
            pub const fn name(&self) -> &'static str {
                match self {
                    $(Self::$name(_) => <$name as super::DomainEvent>::NAME,)*
                }
            }

            /// Id of what it is about, the record's key.
            pub fn aggregate_id(&self) -> String {
                match self {
                    $(Self::$name(event) => super::DomainEvent::aggregate_id(event),)*
                }
            }

            /// The partner whose business it is.
            pub const fn partner_id(&self) -> crate::ids::PartnerId {
                match self {
                    $(Self::$name(event) => event.partner_id,)*
                }
            }

            pub(super) fn fields(&self) -> serde_json::Result<serde_json::Value> {
                match self {
                    $(Self::$name(event) => serde_json::to_value(event),)*
                }
            }
        }
    };
}
use topic_events;
