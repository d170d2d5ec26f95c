//! Reading records: which concern the group, and what they say.

use headgate_groups::{Event, Group};
use headgate_runtime::registry::{self, Registry};
use headgate_runtime::telemetry;
use headgate_schemas::codec::{DecodeError, split_wire_format};
use headgate_schemas::ids::EventId;

use super::item::Content;
use super::record::Record;

/// Names of our own events begin so. One that this group does not know is of a newer
/// release and not for it; anything else on the topic is a mistake.
const OWN_NAMESPACE: &str = "io.headgate.";
/// The headers say another type than the value.
const TYPE_MISMATCH: &str = "type-mismatch";
/// A header's name is no text.
pub(crate) const UNREADABLE_HEADERS: &str = "unreadable-headers";
/// The flag of a `traceparent` that says that the trace is kept.
const SAMPLED: &str = "01";

#[derive(Clone)]
pub(crate) struct Decoder {
    pub group: Group,
    pub registry: Registry,
}

impl Decoder {
    /// What a record says. `None`: it does not concern the group. An error means that
    /// the registry could not be asked, and says nothing of the record.
    pub(crate) async fn content(
        &self,
        event_id: EventId,
        record: &Record,
    ) -> Result<Option<Content>, registry::Error> {
        if record.marks.cut {
            return Ok(Some(Content::Poison {
                class: UNREADABLE_HEADERS,
                error: "a header's name is not UTF-8".to_owned(),
            }));
        }
        let (schema_id, datum) = match split_wire_format(record.value.as_deref()) {
            Ok(parts) => parts,
            Err(error) => return Ok(Some(poison(&error))),
        };
        let schema = match self.registry.writer_schema(schema_id).await {
            Ok(schema) => schema,
            Err(registry::Error::Decode(error)) => return Ok(Some(poison(&error))),
            Err(error) => return Err(error),
        };
        let name = schema.name();
        let said = record.marks.event_type.as_deref().unwrap_or(name);
        if said != name && (self.group.handles(said) || self.group.handles(name)) {
            return Ok(Some(Content::Poison {
                class: TYPE_MISMATCH,
                error: format!("the headers say `{said}`, the value is a `{name}`"),
            }));
        }
        if !self.group.handles(name) {
            let is_foreign = !name.starts_with(OWN_NAMESPACE);
            return Ok(is_foreign.then(|| poison(&DecodeError::UnknownEvent(name.to_owned()))));
        }
        Ok(Some(match schema.decode(datum) {
            Ok(value) => {
                let (span, traceparent) = follow(record.marks.traceparent.as_deref());
                let event = Event {
                    id: event_id,
                    value,
                    traceparent,
                };
                Content::Event { event, span }
            }
            Err(error) => poison(&error),
        }))
    }
}

fn poison(error: &DecodeError) -> Content {
    Content::Poison {
        class: error.class(),
        error: headgate_dead_letters::bury::error_text(error),
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
