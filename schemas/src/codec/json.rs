//! Events from JSON, in the form in which [`WriterSchema::to_json`](super::WriterSchema::to_json)
//! shows them: what a person has corrected. Everything that does not fit is named, as far as
//! it can be told at once.

use apache_avro::Schema;
use chrono::{DateTime, Utc};
use serde_json::Value;

use super::{EncodeError, Encoder, OWN_SCHEMAS};
use crate::event::{DomainEvent, Event, ReadEvent, Timestamp};

/// Most misfits that are named.
const MISFITS_MAX: usize = 100;

/// A part of a JSON value that does not fit its schema.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Misfit {
    /// Where: names and indexes, as `stock.items[0].price`. Empty: the value as a whole.
    pub path: String,
    /// What is wrong with it.
    pub detail: String,
}

/// An event from JSON, as a record carries it.
#[derive(Clone, Debug)]
pub struct EncodedJson {
    /// The record's value, in the wire format.
    pub value: Vec<u8>,
    /// The field that the record's key repeats.
    pub key_field: &'static str,
    /// What that field says.
    pub aggregate_id: String,
}

/// JSON that is no event.
#[derive(Debug, thiserror::Error)]
pub enum JsonError {
    /// The contract has no event of this name.
    #[error("`{0}` is no event")]
    UnknownEvent(String),
    /// It does not fit the event's schema; at least one misfit, at most a hundred.
    #[error("the value does not fit the schema")]
    Misfits(Vec<Misfit>),
    /// It fits and cannot be written all the same.
    #[error(transparent)]
    Encode(#[from] EncodeError),
}

/// An event of this name with all its fields, each null: something to fill in.
pub fn blank(name: &str) -> Option<Value> {
    let Schema::Record(record) = OWN_SCHEMAS.get(name)? else {
        return None;
    };
    let fields = record.fields.iter();
    Some(fields.map(|field| (field.name.clone(), Value::Null)).collect())
}

/// An event as HTTP would show it: its fields by their names, ids and times as text.
pub fn public(event: &Event) -> serde_json::Result<Value> {
    let mut fields = event.fields()?;
    let (Some(Schema::Record(record)), Some(object)) =
        (OWN_SCHEMAS.get(event.name()), fields.as_object_mut())
    else {
        return Ok(fields);
    };
    for field in record
        .fields
        .iter()
        .filter(|field| matches!(field.schema, Schema::TimestampMicros))
    {
        if let Some(value) = object.get_mut(&field.name)
            && let Some(micros) = value.as_i64()
        {
            *value = serde_json::to_value(DateTime::<Utc>::from(Timestamp(micros)))?;
        }
    }
    Ok(fields)
}

impl Encoder {
    /// Writes the event called `name` from JSON. Every field has to be there, and no other.
    pub fn encode_json(&self, name: &str, json: &Value) -> Result<EncodedJson, JsonError> {
        let unknown = || JsonError::UnknownEvent(name.to_owned());
        let schema = OWN_SCHEMAS.get(name).ok_or_else(unknown)?;
        let mut misfits = Vec::new();
        fit(schema, json, "", &mut misfits);
        if !misfits.is_empty() {
            misfits.truncate(MISFITS_MAX);
            return Err(JsonError::Misfits(misfits));
        }
        let mut encoded = None;
        let writing = Writing {
            encoder: self,
            json,
            encoded: &mut encoded,
        };
        Event::read(name, writing).ok_or_else(unknown)??;
        encoded.ok_or_else(unknown)
    }
}

struct Writing<'w> {
    encoder: &'w Encoder,
    json: &'w Value,
    encoded: &'w mut Option<EncodedJson>,
}

impl ReadEvent<JsonError> for Writing<'_> {
    fn read<T: DomainEvent>(self) -> Result<T, JsonError> {
        // What the schema cannot say, the event's own types do: that a text is an id.
        let event: T = serde_path_to_error::deserialize(self.json).map_err(|error| {
            let path = error.path().to_string();
            JsonError::Misfits(vec![Misfit {
                path: if path == "." { String::new() } else { path },
                detail: error.inner().to_string(),
            }])
        })?;
        *self.encoded = Some(EncodedJson {
            value: self.encoder.encode(&event)?,
            key_field: T::KEY_FIELD,
            aggregate_id: event.aggregate_id(),
        });
        Ok(event)
    }
}

/// Adds what does not fit. Types that no event has yet are left to the event's own types.
fn fit(schema: &Schema, json: &Value, path: &str, misfits: &mut Vec<Misfit>) {
    let mut require = |fits: bool, wanted: &str| {
        if !fits {
            misfits.push(Misfit {
                path: path.to_owned(),
                detail: format!("must be {wanted}, not {}", kind(json)),
            });
        }
    };
    match schema {
        Schema::Null => require(json.is_null(), "null"),
        Schema::Boolean => require(json.is_boolean(), "true or false"),
        Schema::String => require(json.is_string(), "text"),
        Schema::Float | Schema::Double => require(json.is_number(), "a number"),
        Schema::Int | Schema::Date | Schema::TimeMillis => {
            let fits = json.as_i64().is_some_and(|number| i32::try_from(number).is_ok());
            require(fits, "a whole number of 32 bits");
        }
        Schema::Long
        | Schema::TimeMicros
        | Schema::TimestampMillis
        | Schema::TimestampMicros
        | Schema::TimestampNanos
        | Schema::LocalTimestampMillis
        | Schema::LocalTimestampMicros
        | Schema::LocalTimestampNanos => require(json.as_i64().is_some(), "a whole number of 64 bits"),
        Schema::Array(array) => match json.as_array() {
            None => require(false, "a list"),
            Some(items) => {
                for (index, item) in items.iter().enumerate() {
                    fit(&array.items, item, &format!("{path}[{index}]"), misfits);
                }
            }
        },
        Schema::Union(union) => {
            let fits = |variant: &Schema| {
                let mut misfits = Vec::new();
                fit(variant, json, path, &mut misfits);
                misfits.is_empty()
            };
            require(union.variants().iter().any(fits), "one of its types");
        }
        Schema::Record(record) => match json.as_object() {
            None => require(false, "an object"),
            Some(object) => {
                let below = |name: &str| match path {
                    "" => name.to_owned(),
                    path => format!("{path}.{name}"),
                };
                for field in &record.fields {
                    match object.get(&field.name) {
                        Some(json) => fit(&field.schema, json, &below(&field.name), misfits),
                        None => misfits.push(Misfit {
                            path: below(&field.name),
                            detail: "is missing".to_owned(),
                        }),
                    }
                }
                let known = |name: &str| record.fields.iter().any(|field| field.name == name);
                for name in object.keys().filter(|name| !known(name)) {
                    misfits.push(Misfit {
                        path: below(name),
                        detail: format!("`{}` has no such field", record.name.fullname(None)),
                    });
                }
            }
        },
        _ => {}
    }
}

/// What a JSON value is, in words. The value itself is not repeated: it may be a person's.
const fn kind(json: &Value) -> &'static str {
    match json {
        Value::Null => "null",
        Value::Bool(_) => "true or false",
        Value::Number(_) => "this number",
        Value::String(_) => "text",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use serde_json::json;

    use super::super::{WriterSchema, split_wire_format};
    use super::*;
    use crate::event::coupons::{CampaignEnded, ClaimIssued, CouponEvent};
    use crate::event::{EventSchema, schemas};

    const ID: &str = "0198c5a1-7b1e-7c3d-9a55-2f6d1c0b4e77";

    fn encoder() -> Encoder {
        let ids: HashMap<String, u32> = (7..)
            .zip(schemas())
            .map(|(id, event)| (event.name.to_owned(), id))
            .collect();
        Encoder::new(&ids).expect("every schema has an id")
    }

    fn issued() -> Value {
        json!({
            "claim_id": ID, "coupon_id": ID, "campaign_id": ID, "partner_id": ID, "user_id": "u-1",
            "ticket": 57, "issued_at": 1_800_000_000_000_001_i64, "expires_at": 1_800_000_000_000_002_i64,
        })
    }

    fn misfits(name: &str, json: &Value) -> Vec<(String, String)> {
        match encoder().encode_json(name, json) {
            Err(JsonError::Misfits(misfits)) => misfits
                .into_iter()
                .map(|misfit| (misfit.path, misfit.detail))
                .collect(),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn what_is_shown_as_json_is_written_from_it() {
        let encoded = encoder()
            .encode_json(ClaimIssued::NAME, &issued())
            .expect("it fits");
        assert_eq!(
            (encoded.key_field, encoded.aggregate_id.as_str()),
            ("claim_id", ID)
        );
        let (id, datum) = split_wire_format(Some(&encoded.value)).expect("wire format");
        let schema = WriterSchema::parse(id, ClaimIssued::SCHEMA).expect("a schema");
        assert_eq!(schema.to_json(datum).expect("it can be read"), issued());
        schema.decode(datum).expect("it is the event");
    }

    #[test]
    fn the_public_form_has_times_as_text() {
        let event = CampaignEnded {
            campaign_id: ID.parse().expect("an id"),
            partner_id: ID.parse().expect("an id"),
            name: "autumn".to_owned(),
            quota: 100,
            issued: 7,
            ended_at: Timestamp(1_800_000_000_000_001),
        };
        let public = public(&Event::Coupon(CouponEvent::CampaignEnded(event))).expect("JSON");
        assert_eq!(public["campaign_id"], ID);
        assert_eq!(public["ended_at"], "2027-01-15T08:00:00.000001Z");
    }

    #[test]
    fn every_event_of_the_contract_can_be_filled_in() {
        for EventSchema { name, text, .. } in schemas() {
            let schema: Value = serde_json::from_str(text).expect("a schema is JSON");
            let mut value = blank(name).expect("it is an event");
            let fields = schema["fields"].as_array().expect("fields");
            assert_eq!(
                misfits(name, &value).len(),
                fields.len(),
                "{name}: null is no value"
            );
            for field in fields {
                let of = field["name"].as_str().expect("a name");
                value[of] = if field["type"] == "string" {
                    ID.into()
                } else {
                    7.into()
                };
            }
            encoder()
                .encode_json(name, &value)
                .unwrap_or_else(|error| panic!("{name}: {error}"));
        }
        assert_eq!(blank("io.headgate.coupons.Lost"), None);
    }

    #[test]
    fn every_field_that_does_not_fit_is_named() {
        let mut value = issued();
        value["ticket"] = json!(3_000_000_000_i64);
        value["user_id"] = json!(7);
        value["colour"] = json!("red");
        value.as_object_mut().expect("an object").remove("issued_at");
        value["expires_at"] = json!(1.5);
        let no_field = format!("`{}` has no such field", ClaimIssued::NAME);
        let said = [
            ("colour", no_field.as_str()),
            ("expires_at", "must be a whole number of 64 bits, not this number"),
            ("issued_at", "is missing"),
            ("ticket", "must be a whole number of 32 bits, not this number"),
            ("user_id", "must be text, not this number"),
        ];
        let mut found = misfits(ClaimIssued::NAME, &value);
        found.sort();
        assert_eq!(
            found,
            said.map(|(path, detail)| (path.to_owned(), detail.to_owned()))
        );
        assert_eq!(
            misfits(ClaimIssued::NAME, &json!("text")),
            [(String::new(), "must be an object, not text".to_owned())]
        );
    }

    #[test]
    fn a_text_that_has_to_be_an_id_is_one_and_is_not_repeated() {
        let mut value = issued();
        value["campaign_id"] = json!("kim@shop.example");
        let found = misfits(ClaimIssued::NAME, &value);
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].0, "campaign_id");
        assert!(!found[0].1.contains("kim"), "{}", found[0].1);
    }

    #[test]
    fn an_event_that_is_none_is_named() {
        let error = encoder()
            .encode_json("io.headgate.coupons.Lost", &issued())
            .expect_err("no event");
        assert!(matches!(error, JsonError::UnknownEvent(name) if name.ends_with("Lost")));
        // Fields of another event do not fit.
        assert!(misfits(CampaignEnded::NAME, &issued()).len() > 3);
    }

    #[test]
    fn lists_and_alternatives_are_walked() {
        let schema = Schema::parse_str(
            r#"{"type": "record", "name": "Order", "fields": [
                {"name": "note", "type": ["null", "string"]},
                {"name": "items", "type": {"type": "array", "items":
                    {"type": "record", "name": "Item", "fields": [{"name": "price", "type": "int"}]}}}]}"#,
        )
        .expect("a schema");
        let found = |json: Value| {
            let mut misfits = Vec::new();
            fit(&schema, &json, "", &mut misfits);
            misfits.into_iter().map(|misfit| misfit.path).collect::<Vec<_>>()
        };
        assert!(found(json!({"note": null, "items": [{"price": 1}]})).is_empty());
        assert!(found(json!({"note": "n", "items": []})).is_empty());
        assert_eq!(
            found(json!({"note": 7, "items": [{"price": 1}, {"price": "2"}]})),
            ["note", "items[1].price"]
        );
    }
}
