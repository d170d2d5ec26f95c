//! Reading records: which concern the group, and what they say. The runner and the
//! operator's rehearsal read alike.

use chrono::{DateTime, Utc};
use headgate_runtime::registry::{self, Registry};
use headgate_runtime::{error_text, telemetry};
use headgate_schemas::codec::{DecodeError, split_wire_format};
use headgate_schemas::headers::{CE_SEQUENCE, CE_TIME, CE_TYPE, RawHeaders, TRACEPARENT};
use headgate_schemas::ids::EventId;

use crate::{Event, Group, event_type_text, time_text, traceparent_text};

/// Names of our own events begin so. One that this group does not know is of a newer
/// release and not for it; anything else on the topic is a mistake.
const OWN_NAMESPACE: &str = "io.headgate.";
/// The headers say another type than the value.
const TYPE_MISMATCH: &str = "type-mismatch";
/// Class of a record that has a header whose name is no text.
pub const UNREADABLE_HEADERS: &str = "unreadable-headers";
/// Class of a replayed record of a type that the group does not act on.
const NOT_FOR_GROUP: &str = "not-for-group";
/// The flag of a `traceparent` that says that the trace is kept.
const SAMPLED: &str = "01";

/// Reads records for one group.
#[derive(Clone)]
pub struct Decoder {
    /// The group.
    pub group: Group,
    /// Knows the schemas that values were written with.
    pub registry: Registry,
}

/// What is read of a record.
#[derive(Clone, Copy, Debug, Default)]
pub struct Readable<'r> {
    /// The value.
    pub value: Option<&'r [u8]>,
    /// What the headers say of its type.
    pub event_type: Option<&'r str>,
    /// The aggregate's own number of the event.
    pub sequence: Option<u64>,
    /// When it happened.
    pub time: Option<DateTime<Utc>>,
    /// The trace that it belongs to.
    pub traceparent: Option<&'r str>,
    /// A header has a name that is no text: what came behind it is lost.
    pub cut: bool,
}

impl<'r> Readable<'r> {
    /// What is read of a dead letter, as it came, whose error is of `error_class`.
    pub fn of_letter(value: Option<&'r [u8]>, headers: &'r RawHeaders, error_class: &str) -> Self {
        Self {
            cut: error_class == UNREADABLE_HEADERS,
            ..Self::of_edit(value, headers)
        }
    }

    /// What is read of a dead letter that was edited: its headers are whole.
    pub fn of_edit(value: Option<&'r [u8]>, headers: &'r RawHeaders) -> Self {
        let text = |name| std::str::from_utf8(headers.last(name)?).ok();
        Self {
            value,
            event_type: text(CE_TYPE).and_then(event_type_text),
            sequence: text(CE_SEQUENCE).and_then(|text| text.parse().ok()),
            time: text(CE_TIME).and_then(time_text),
            traceparent: text(TRACEPARENT).and_then(traceparent_text),
            cut: false,
        }
    }
}

/// What a record says.
#[derive(Debug)]
pub enum Content {
    /// An event that the group acts on.
    Event {
        /// The event.
        event: Event,
        /// Of the event's own trace; it ends with whoever works on it.
        span: Option<tracing::Span>,
    },
    /// It cannot be read.
    Poison {
        /// A stable word for the cause.
        class: &'static str,
        /// What is wrong.
        error: String,
    },
}

impl Content {
    /// What a record of a type is that the group does not act on, or no longer, where it was
    /// sent to this group alone.
    pub fn not_for_group() -> Self {
        Self::Poison {
            class: NOT_FOR_GROUP,
            error: "the group does not act on events of this type".to_owned(),
        }
    }
}

impl Decoder {
    /// What a record says. `None`: it does not concern the group. An error means that
    /// the registry could not be asked, and says nothing of the record.
    pub async fn content(
        &self,
        event_id: EventId,
        record: Readable<'_>,
    ) -> Result<Option<Content>, registry::Error> {
        if record.cut {
            let content = Content::Poison {
                class: UNREADABLE_HEADERS,
                error: "a header's name is not UTF-8".to_owned(),
            };
            return Ok(self.unless_left(&[], content));
        }
        let (schema_id, datum) = match split_wire_format(record.value) {
            Ok(parts) => parts,
            Err(error) => return Ok(self.unless_left(&[], poison(&error))),
        };
        let schema = match self.registry.writer_schema(schema_id).await {
            Ok(schema) => schema,
            Err(registry::Error::Decode(error)) => return Ok(self.unless_left(&[], poison(&error))),
            Err(error) => return Err(error),
        };
        let name = schema.name();
        let said = record.event_type.unwrap_or(name);
        if said != name && (self.group.handles(said) || self.group.handles(name)) {
            let content = Content::Poison {
                class: TYPE_MISMATCH,
                error: format!("the headers say `{said}`, the value is a `{name}`"),
            };
            return Ok(self.unless_left(&[said, name], content));
        }
        if !self.group.handles(name) {
            if name.starts_with(OWN_NAMESPACE) {
                return Ok(None);
            }
            let content = poison(&DecodeError::UnknownEvent(name.to_owned()));
            return Ok(self.unless_left(&[], content));
        }
        match schema.decode(datum) {
            Ok(value) => {
                let (span, traceparent) = follow(record.traceparent);
                let event = Event {
                    id: event_id,
                    value,
                    sequence: record.sequence,
                    time: record.time,
                    traceparent,
                };
                Ok(Some(Content::Event { event, span }))
            }
            Err(error) => Ok(self.unless_left(&[name], poison(&error))),
        }
    }

    /// What cannot be read, unless the group leaves it to others. `names` is what is known of its
    /// type.
    fn unless_left(&self, names: &[&str], poison: Content) -> Option<Content> {
        (!self.group.leaves_to_others(names)).then_some(poison)
    }
}

fn poison(error: &DecodeError) -> Content {
    Content::Poison {
        class: error.class(),
        error: error_text(error),
    }
}

/// A span of the event's own trace, linked with the batch that is the current span,
/// and the `traceparent` of what follows from the event.
fn follow(traceparent: Option<&str>) -> (Option<tracing::Span>, Option<String>) {
    let Some(traceparent) = traceparent else {
        return (None, None);
    };
    let is_kept = traceparent.rsplit('-').next() == Some(SAMPLED);
    if !is_kept {
        return (None, Some(traceparent.to_owned()));
    }
    let span = tracing::info_span!(parent: None, "consume event");
    telemetry::set_parent(&span, Some(traceparent));
    span.follows_from(tracing::Span::current());
    let own = span.in_scope(telemetry::current_traceparent);
    (Some(span), Some(own.unwrap_or_else(|| traceparent.to_owned())))
}
