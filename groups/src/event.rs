//! Events as groups see them.

use headgate_schemas::event::coupons::CouponEvent;
use headgate_schemas::ids::EventId;

/// An event that could be read.
#[derive(Clone, Debug, PartialEq)]
pub struct Event {
    /// Deduplicated by.
    pub id: EventId,
    /// What happened.
    pub value: CouponEvent,
    /// Trace that what follows from it belongs to.
    pub traceparent: Option<String>,
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
