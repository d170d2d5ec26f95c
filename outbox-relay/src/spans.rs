//! One span for each event that is traced: from sending to acknowledgement, as a child
//! of the request that caused the event, with its time in the outbox.

use chrono::{DateTime, Utc};
use headgate_outbox::claim::PendingRow;
use headgate_runtime::telemetry::set_parent;
use tracing::Span;

/// How a `traceparent` ends whose trace is kept.
const SAMPLED: &str = "-01";
const MICROS_PER_SECOND: f64 = 1e6;

/// The span of publishing a row. `None` when it is not traced.
pub(crate) fn publishing(row: &PendingRow, now: DateTime<Utc>) -> Option<Span> {
    let traceparent = row
        .traceparent
        .as_deref()
        .filter(|parent| parent.ends_with(SAMPLED))?;
    let span = tracing::info_span!(
        "publish",
        "otel.kind" = "producer",
        "messaging.system" = "kafka",
        "messaging.destination.name" = row.topic,
        "headgate.event_type" = row.event_type,
        "headgate.event_id" = %row.event_id,
        "headgate.outbox_seconds" = seconds_in_outbox(row, now),
    );
    set_parent(&span, Some(traceparent));
    Some(span)
}

/// How long a row has been in the outbox, by this process's clock.
pub(crate) fn seconds_in_outbox(row: &PendingRow, now: DateTime<Utc>) -> f64 {
    let micros = (now - row.created_at)
        .num_microseconds()
        .unwrap_or(i64::MAX)
        .max(0);
    // Exact up to 2^53 microseconds, 285 years.
    #[expect(clippy::cast_precision_loss, reason = "a duration for people")]
    let micros = micros as f64;
    micros / MICROS_PER_SECOND
}
