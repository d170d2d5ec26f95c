//! What groups are given beside the transaction and the events.

use chrono::{DateTime, Utc};
use headgate_outbox::write::EventWriter;

/// What groups are given beside the transaction and the events.
#[derive(Clone)]
pub struct Context {
    /// Makes outbox rows.
    pub writer: EventWriter,
    /// Now, by MySQL's clock.
    pub now: DateTime<Utc>,
}

impl Context {
    /// A context of this moment.
    pub fn new(writer: EventWriter, now: DateTime<Utc>) -> Self {
        Self { writer, now }
    }
}
