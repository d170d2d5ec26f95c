//! `PUT /v1/dead-letters/{letter_id}/value`.

use axum::Json;
use axum::extract::State;
use headgate_dead_letters::edit::{self, NewEdit};
use headgate_dead_letters::{self as letters, Letter, store};
use headgate_groups::Group;
use headgate_outbox::write::EventWriter;
use headgate_runtime::registry::{self, Registry};
use headgate_schemas::codec::{EncodedJson, JsonError, split_wire_format};
use headgate_schemas::headers::CE_TYPE;
use headgate_schemas::ids::DeadLetterId;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

use super::difference::{Difference, masked};
use super::record::MASK;
use crate::Error;
use crate::auth::{Acting, As};
use crate::http::extract::{Body, Path};
use crate::http::problem::{FieldError, Problem};
use crate::state::Servers;

/// A corrected value.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ValueEdit {
    /// The whole value, in the form in which a letter shows it: every field of the event's
    /// schema, and no other.
    pub value: Value,
    /// 1 to 256 characters; goes into the audit log.
    #[schema(min_length = 1, max_length = 256)]
    pub reason: String,
    /// Full name of the event. Left out: what the headers say, or else the value that is edited.
    pub event_type: Option<String>,
    /// The letter's `edit_no` when it was looked at. Another by now: refused.
    pub expected_edit_no: Option<u32>,
}

/// What an edit did.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct Edited {
    /// The letter.
    #[schema(value_type = Uuid)]
    pub letter_id: DeadLetterId,
    /// The edit's number, from 1.
    pub edit_no: u32,
    /// The event that the value is.
    pub event_type: String,
    /// Headers that were missing or wrong, and are set from now on.
    pub headers: Vec<String>,
    /// What it changed of what went before.
    pub difference: Difference,
}

/// Corrects what a letter sends to its group: an open or quarantined one, also one that waits
/// behind another, or whose replay is overdue (it is given up). The value is checked against the
/// event's schema. The record stays as it came, beside the edit; its key cannot be edited.
/// Nothing is sent: that is a replay.
#[utoipa::path(
    put, path = "/v1/dead-letters/{letter_id}/value", tag = "dead letters", request_body = ValueEdit,
    params(("letter_id" = Uuid, Path, description = "The letter")),
    responses((status = 200, body = Edited), (status = "4XX", body = Problem), (status = 503, body = Problem))
)]
pub async fn edit(
    acting: As<Acting>,
    State(servers): State<Servers>,
    Path(letter_id): Path<DeadLetterId>,
    Body(body): Body<ValueEdit>,
) -> Result<Json<Edited>, Error> {
    let letter = store::show(&servers.pool, letter_id).await?;
    let edit_no = letter.summary.edit_no;
    if body.expected_edit_no.is_some_and(|expected| expected != edit_no) {
        return Err(letters::Error::Edited { letter_id, edit_no }.into());
    }
    refuse_masked(&body.value)?;
    let before = Before::read(&servers.registry, &letter).await?;
    let event_type = event_type(&body, &letter, before.event_type)?;
    let encoded = encode(servers.writer().await?, &letter, &event_type, &body.value)?;
    let difference = letters::Difference::between(before.value.as_ref(), &body.value);
    let audited = masked(difference.clone());
    let new = NewEdit {
        after: edit_no,
        event_type: &event_type,
        value: &encoded.value,
        reason: &body.reason,
        difference: &difference,
        audited: &audited,
    };
    let outcome = edit::edit(&servers.pool, letter_id, &acting.operator.name, new).await?;
    let edit_no = outcome.edit_no;
    tracing::info!(%letter_id, edit_no, operator = acting.operator.name, "dead letter edited");
    Ok(Json(Edited {
        letter_id,
        edit_no,
        event_type,
        headers: outcome.headers.into_iter().map(str::to_owned).collect(),
        difference: difference.into(),
    }))
}

/// What goes to the group before an edit, as far as it can be read.
struct Before {
    /// The type that the headers say, or else the value.
    event_type: Option<String>,
    value: Option<Value>,
}

impl Before {
    /// A registry that is away is no reason to take a value for unreadable: an error.
    async fn read(registry: &Registry, letter: &Letter) -> Result<Self, Error> {
        let (value, headers) = match &letter.edited {
            Some(edited) => (&edited.value, &edited.headers),
            None => (&letter.value, &letter.headers),
        };
        let said = headers
            .last(CE_TYPE)
            .and_then(|said| std::str::from_utf8(said).ok())
            .map(str::to_owned);
        let unreadable = |event_type| Self {
            event_type,
            value: None,
        };
        let Ok((schema_id, datum)) = split_wire_format(value.as_deref()) else {
            return Ok(unreadable(said));
        };
        let schema = match registry.writer_schema(schema_id).await {
            Ok(schema) => schema,
            Err(registry::Error::Decode(_)) => return Ok(unreadable(said)),
            Err(error) => return Err(error.into()),
        };
        Ok(Self {
            event_type: said.or_else(|| Some(schema.name().to_owned())),
            value: schema.to_json(datum).ok(),
        })
    }
}

/// The type of the event, which the letter's group has to act on.
fn event_type(body: &ValueEdit, letter: &Letter, before: Option<String>) -> Result<String, Error> {
    let stated = body.event_type.clone();
    let before = before.or_else(|| letter.summary.event_type.clone());
    let Some(event_type) = stated.or(before) else {
        let detail = "is required: neither the headers nor the value say which event it is";
        return Err(wrong("event_type", detail.to_owned()));
    };
    let group = letter.summary.group.as_str();
    if Group::named(group).is_some_and(|group| !group.handles(&event_type)) {
        let detail = format!("the group `{group}` does not act on `{event_type}`: name the right event");
        return Err(wrong("event_type", detail));
    }
    Ok(event_type)
}

fn encode(
    writer: &EventWriter,
    letter: &Letter,
    event_type: &str,
    value: &Value,
) -> Result<EncodedJson, Error> {
    let encoded = match writer.encoder().encode_json(event_type, value) {
        Ok(encoded) => encoded,
        Err(JsonError::Misfits(misfits)) => {
            let fields = misfits.into_iter();
            return Err(Error::InvalidBody(
                fields
                    .map(|misfit| FieldError::new(&below_value(&misfit.path), misfit.detail))
                    .collect(),
            ));
        }
        Err(error @ JsonError::UnknownEvent(_)) => return Err(wrong("event_type", error.to_string())),
        Err(JsonError::Encode(error)) => return Err(wrong("value", error.to_string())),
    };
    match letter.key.as_deref() {
        Some(key) if key != encoded.aggregate_id.as_bytes() => {
            let detail = "must be what the record's key says: the key cannot be edited, because the order of \
                          events hangs on it";
            Err(wrong(&below_value(encoded.key_field), detail.to_owned()))
        }
        _ => Ok(encoded),
    }
}

/// Whoever edits what a viewer was shown would write the mask over what it hides.
fn refuse_masked(value: &Value) -> Result<(), Error> {
    let mut fields = Vec::new();
    find_masked(value, "value", &mut fields);
    if fields.is_empty() {
        Ok(())
    } else {
        Err(Error::InvalidBody(fields))
    }
}

/// Most masked fields that are named.
const MASKED_MAX: usize = 100;

fn find_masked(value: &Value, path: &str, fields: &mut Vec<FieldError>) {
    match value {
        Value::String(text) if text == MASK && fields.len() < MASKED_MAX => {
            fields.push(FieldError::new(path, "is masked: name the value itself"));
        }
        Value::Array(items) => {
            for (index, item) in items.iter().enumerate() {
                find_masked(item, &format!("{path}[{index}]"), fields);
            }
        }
        Value::Object(object) => {
            for (name, value) in object {
                find_masked(value, &format!("{path}.{name}"), fields);
            }
        }
        _ => {}
    }
}

/// A path within the value as a path within the body.
fn below_value(path: &str) -> String {
    match path {
        "" => "value".to_owned(),
        path if path.starts_with('[') => format!("value{path}"),
        path => format!("value.{path}"),
    }
}

fn wrong(field: &str, detail: String) -> Error {
    Error::InvalidBody(vec![FieldError::new(field, detail)])
}
