//! Events as groups see them.

use chrono::{DateTime, Datelike, Utc};
use headgate_schemas::event;
use headgate_schemas::event::coupons::CouponEvent;
use headgate_schemas::headers::{RawHeaders, TRACEPARENT};
use headgate_schemas::ids::EventId;

use crate::point_balances;

/// An event that could be read.
#[derive(Clone, Debug, PartialEq)]
pub struct Event {
    /// Deduplicated by.
    pub id: EventId,
    /// What happened.
    pub value: event::Event,
    /// The aggregate's own number of it (`ce_sequence`), if its record said it.
    pub sequence: Option<u64>,
    /// When it happened (`ce_time`), if its record said it.
    pub time: Option<DateTime<Utc>>,
    /// Trace that what follows from it belongs to.
    pub traceparent: Option<String>,
}

impl Event {
    /// When what it tells of began, for the time from there to the group's commit.
    pub fn began_at(&self) -> Option<DateTime<Utc>> {
        match &self.value {
            event::Event::Coupon(CouponEvent::ClaimAdmitted(claim)) => Some(claim.admitted_at.into()),
            event::Event::Points(_) => point_balances::began_at(self).map(DateTime::from),
            event::Event::Coupon(_) => None,
        }
    }
}

/// What is known of an event that became a dead letter. Its value may be unreadable.
#[derive(Clone, Copy, Debug)]
pub struct DeadEvent<'e> {
    /// Its type (`ce_type`), if it said one.
    pub event_type: Option<&'e str>,
    /// The record's key: the aggregate's id, if it is one of ours.
    pub key: Option<&'e [u8]>,
    /// Trace that what follows from it belongs to.
    pub traceparent: Option<&'e str>,
}

impl<'e> DeadEvent<'e> {
    /// What a dead letter tells of its event.
    pub fn new(event_type: Option<&'e str>, key: Option<&'e [u8]>, headers: &'e RawHeaders) -> Self {
        Self {
            event_type,
            key,
            traceparent: traceparent(headers),
        }
    }
}

/// Longest event type that MySQL keeps, in bytes.
const EVENT_TYPE_BYTES_MAX: usize = 96;

/// The type that a record says its event has, if it can be one.
pub fn event_type_text(text: &str) -> Option<&str> {
    (text.is_ascii() && text.len() <= EVENT_TYPE_BYTES_MAX).then_some(text)
}

/// The moment that a record says its event happened at, if it is one that MySQL can keep.
pub fn time_text(text: &str) -> Option<DateTime<Utc>> {
    let time: DateTime<Utc> = DateTime::parse_from_rfc3339(text).ok()?.into();
    YEARS.contains(&time.year()).then_some(time)
}

/// What MySQL's `DATETIME` holds and we have a use for.
const YEARS: std::ops::RangeInclusive<i32> = 1970..=9_999;

/// Length of a `traceparent`, <https://www.w3.org/TR/trace-context/#traceparent-header>.
const TRACEPARENT_BYTES: usize = 55;

/// The trace that a record says it belongs to, if what it says looks like one.
/// Anything else is left out: it must not keep the event from being applied.
pub fn traceparent_text(text: &str) -> Option<&str> {
    let looks_right = text.len() == TRACEPARENT_BYTES && text.bytes().all(|byte| byte.is_ascii_graphic());
    looks_right.then_some(text)
}

fn traceparent(headers: &RawHeaders) -> Option<&str> {
    let text = std::str::from_utf8(headers.last(TRACEPARENT)?).ok()?;
    traceparent_text(text)
}
