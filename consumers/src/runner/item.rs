//! What a batch is made of: records that concern the group, each read as far as it can be.

use std::sync::Arc;

use chrono::{DateTime, Utc};
use headgate_dead_letters::park::{AsRead, HeldKey};
use headgate_dead_letters::{Disposition, NewLetter, SourceRecord};
use headgate_groups::decode::Content;
use headgate_groups::{DeadEvent, Event};
use headgate_outbox::bucket::murmur2;
use headgate_schemas::headers::RawHeaders;
use headgate_schemas::ids::{DeadLetterId, EventId};
use headgate_schemas::topics::Topic;

use super::record::Record;

/// Where a worker's records come from.
#[derive(Clone, Debug)]
pub(crate) struct Source {
    /// As Kafka names it.
    pub topic: Arc<str>,
    pub partition: i32,
    /// The public topic, as Kafka names it: the same, unless this is its retry topic.
    pub public: Arc<str>,
    /// Its entry in the catalogue.
    pub catalogued: Topic,
}

impl Source {
    /// Whether it carries what is meant for this group alone.
    pub(crate) fn is_retry(&self) -> bool {
        self.topic != self.public
    }

    /// The partition of the public topic that a record of this source belongs to. On a
    /// retry topic it follows from the key, as it did for the producer.
    pub(crate) fn home(&self, key: Option<&[u8]>) -> i32 {
        if !self.is_retry() {
            return self.partition;
        }
        let hash = murmur2(key.unwrap_or_default()) & 0x7fff_ffff;
        hash.cast_signed() % self.catalogued.partitions
    }
}

/// A record that concerns the group.
#[derive(Debug)]
pub(crate) struct Item {
    pub record: Record,
    pub event_id: EventId,
    /// The letter that holds it, if it was parked.
    pub letter: Option<AsRead>,
    /// Partition of the public topic.
    pub home: i32,
    pub content: Content,
}

/// Why a record is set aside.
#[derive(Clone, Debug)]
pub(crate) struct Verdict {
    pub disposition: Disposition,
    pub class: &'static str,
    pub error: String,
    pub attempts: u32,
    pub first_failed_at: DateTime<Utc>,
}

impl Item {
    pub(crate) fn event(&self) -> Option<&Event> {
        match &self.content {
            Content::Event { event, .. } => Some(event),
            Content::Poison { .. } => None,
        }
    }

    /// The parked letter that holds it, and its event.
    pub(crate) fn parked(&self) -> Option<(DeadLetterId, EventId)> {
        Some((self.letter?.letter_id, self.event_id))
    }

    /// What a letter of this record would hold. A record without a key has no successors.
    pub(crate) fn held_key(&self) -> Option<HeldKey> {
        self.record.key.as_deref().map(HeldKey::of)
    }

    /// The dead letter of this record.
    pub(crate) fn letter(&self, source: &Source, verdict: Verdict, now: DateTime<Utc>) -> NewLetter {
        let record = &self.record;
        NewLetter {
            event_id: self.event_id,
            event_type: record.marks.event_type.clone(),
            record: SourceRecord {
                topic: source.public.to_string(),
                partition: self.home,
                offset: record.offset,
                time: storable(record.time_ms),
                key: record.key.clone(),
                value: record.value.clone(),
                headers: RawHeaders::from_bytes(&record.headers).unwrap_or_default(),
            },
            disposition: verdict.disposition,
            error_class: verdict.class.to_owned(),
            error: verdict.error,
            attempts: verdict.attempts,
            first_failed_at: verdict.first_failed_at,
            last_failed_at: now,
        }
    }

    /// What the group is told when this record becomes a dead letter.
    pub(crate) fn dead_event(&self) -> DeadEvent<'_> {
        let marks = &self.record.marks;
        DeadEvent {
            event_type: marks.event_type.as_deref(),
            key: self.record.key.as_deref(),
            traceparent: self
                .event()
                .map_or(marks.traceparent.as_deref(), |event| event.traceparent.as_deref()),
        }
    }
}

/// Last moment that MySQL's `DATETIME` holds, in milliseconds.
const LAST_MS: i64 = 253_402_300_799_999;

/// A record's time as MySQL can keep it: a producer may write any number.
fn storable(time_ms: i64) -> DateTime<Utc> {
    DateTime::from_timestamp_millis(time_ms.clamp(0, LAST_MS)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use headgate_schemas::topics::COUPONS;

    use super::*;

    #[test]
    fn on_a_retry_topic_home_follows_from_the_key() {
        let public = Source {
            topic: "headgate.coupons".into(),
            partition: 3,
            public: "headgate.coupons".into(),
            catalogued: COUPONS,
        };
        assert_eq!(public.home(Some(b"foobar")), 3);
        let retry = Source {
            topic: "headgate.coupons.coupon-issuance.retry".into(),
            ..public
        };
        // murmur2("foobar") = -790332482, as Kafka computes it: 0xd0e4_7bbe.
        assert_eq!(retry.home(Some(b"foobar")), 0x50e4_7bbe % COUPONS.partitions);
    }
}
