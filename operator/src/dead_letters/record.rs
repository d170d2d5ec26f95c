//! A dead letter's record, readable: its value decoded, and for viewers masked.

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use headgate_runtime::registry::{self, Registry};
use headgate_schemas::codec::split_wire_format;
use headgate_schemas::headers::{self, RawHeaders};
use headgate_schemas::ids::ClaimId;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

/// What stands in the place of a value that a viewer may not see.
pub const MASK: &str = "***";

/// Fields of a value that say nothing of a person. Everything else is masked.
const OPEN_FIELDS: &[&str] = &[
    "accumulated_at",
    "admission_epoch",
    "admitted_at",
    "amount",
    "campaign_id",
    "cancelled_at",
    "cancels",
    "charged_at",
    "claim_id",
    "closes_at",
    "coupon_id",
    "direction",
    "ended_at",
    "entry_no",
    "expired_at",
    "expires_at",
    "failed_at",
    "issued",
    "issued_at",
    "noticed_at",
    "opens_at",
    "partner_id",
    "paused_at",
    "point_key",
    "quota",
    "quota_before",
    "raised_at",
    "released_at",
    "restored_at",
    "resumed_at",
    "sequence",
    "sold_out_at",
    "stock_left",
    "ticket",
    "transfer_id",
    "transferred_at",
    "used_at",
    "wallet_id",
];

/// Headers that say nothing of a person.
const OPEN_HEADERS: &[&str] = &[
    headers::CE_SPECVERSION,
    headers::CE_ID,
    headers::CE_TYPE,
    headers::CE_SOURCE,
    headers::CE_TIME,
    headers::CE_SEQUENCE,
    headers::CONTENT_TYPE,
    headers::TRACEPARENT,
];

/// A record's key for viewers: shown if it is one of our ids. A foreign record may bear
/// anything as its key.
pub fn masked_key(key: String) -> String {
    if key.parse::<ClaimId>().is_ok() {
        key
    } else {
        MASK.to_owned()
    }
}

/// The record of a letter.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct Record {
    /// The headers in their order; a value that is not UTF-8 is base64 behind `base64:`.
    pub headers: Vec<Header>,
    /// Bytes of the value; absent if it has none.
    pub value_bytes: Option<usize>,
    /// Schema id that the value names.
    pub schema_id: Option<u32>,
    /// The value as JSON, if it can be read.
    pub value: Option<Value>,
    /// Why it cannot be read.
    pub unreadable: Option<String>,
    /// Whether parts were masked because of the viewer's role.
    pub masked: bool,
    /// The value byte for byte, base64. Not for viewers.
    pub raw_value: Option<String>,
    /// The key byte for byte, base64. Not for viewers.
    pub raw_key: Option<String>,
}

/// A header of a record.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Header {
    /// Its name.
    pub name: String,
    /// Its value; absent if it has none.
    pub value: Option<String>,
}

/// A record byte for byte.
#[derive(Clone, Copy, Debug)]
pub struct Bytes<'r> {
    /// The key.
    pub key: Option<&'r [u8]>,
    /// The value.
    pub value: Option<&'r [u8]>,
    /// The headers.
    pub headers: &'r RawHeaders,
}

/// Makes a record readable; `masked` hides what a viewer may not see. A registry that is
/// away costs the decoding, not the answer.
pub async fn read(registry: &Registry, record: Bytes<'_>, masked: bool) -> Record {
    let (schema_id, decoded) = decode(registry, record.value).await;
    let (value, unreadable) = match decoded {
        Ok(value) => (Some(value), None),
        Err(error) => (None, Some(error.to_string())),
    };
    let raw = |bytes: Option<&[u8]>| {
        bytes
            .filter(|_| !masked)
            .map(|bytes| BASE64_STANDARD.encode(bytes))
    };
    Record {
        headers: readable(record.headers, masked),
        value_bytes: record.value.map(<[u8]>::len),
        schema_id,
        value: if masked { value.map(mask) } else { value },
        unreadable,
        masked,
        raw_value: raw(record.value),
        raw_key: raw(record.key),
    }
}

async fn decode(registry: &Registry, value: Option<&[u8]>) -> (Option<u32>, Result<Value, registry::Error>) {
    let (schema_id, datum) = match split_wire_format(value) {
        Ok(split) => split,
        Err(error) => return (None, Err(error.into())),
    };
    let decoded = match registry.writer_schema(schema_id).await {
        Ok(schema) => schema.to_json(datum).map_err(registry::Error::from),
        Err(error) => Err(error),
    };
    (Some(schema_id), decoded)
}

fn readable(headers: &RawHeaders, masked: bool) -> Vec<Header> {
    let show = |name: &str, value: &[u8]| {
        if masked && !OPEN_HEADERS.contains(&name) {
            return MASK.to_owned();
        }
        std::str::from_utf8(value).map_or_else(
            |_| format!("base64:{}", BASE64_STANDARD.encode(value)),
            str::to_owned,
        )
    };
    headers
        .0
        .iter()
        .map(|(name, value)| Header {
            name: name.clone(),
            value: value.as_deref().map(|value| show(name, value)),
        })
        .collect()
}

/// The value of a field as viewers see it.
pub(super) fn masked_field(name: &str, value: Value) -> Value {
    let open = OPEN_FIELDS.contains(&name) && !value.is_object() && !value.is_array();
    if open { value } else { mask(value) }
}

/// Keeps the names of all fields and the values of [`OPEN_FIELDS`].
fn mask(value: Value) -> Value {
    match value {
        Value::Object(fields) => fields
            .into_iter()
            .map(|(name, value)| {
                let value = masked_field(&name, value);
                (name, value)
            })
            .collect(),
        Value::Array(items) => items.into_iter().map(mask).collect(),
        Value::Null => Value::Null,
        Value::Bool(_) | Value::Number(_) | Value::String(_) => MASK.into(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_viewer_sees_which_fields_there_are_but_not_whose() {
        let value = json!({
            "claim_id": "c", "user_id": "u-1", "ticket": 7, "phone": 821_012, "note": null,
            "ticket_of": {"user_id": "u-2", "ticket": 8}, "quota": [{"user_id": "u-3"}],
        });
        assert_eq!(
            mask(value),
            json!({
                "claim_id": "c", "user_id": MASK, "ticket": 7, "phone": MASK, "note": null,
                "ticket_of": {"user_id": MASK, "ticket": 8}, "quota": [{"user_id": MASK}],
            })
        );
        assert_eq!(mask(json!("text")), json!(MASK));
    }

    #[test]
    fn a_key_is_shown_if_it_is_an_id() {
        let id = ClaimId::generate().to_string();
        assert_eq!(masked_key(id.clone()), id);
        assert_eq!(masked_key("kim@shop.example".into()), MASK);
    }

    #[test]
    fn headers_are_masked_unless_they_are_ours() {
        let mut headers = RawHeaders::default();
        headers.push(headers::CE_ID, "id");
        headers.push("x-user", "u-1");
        headers.push("x-binary", vec![0xff, 0]);
        let values = |masked| {
            readable(&headers, masked)
                .into_iter()
                .map(|header| header.value)
                .collect::<Vec<_>>()
        };
        assert_eq!(
            values(true),
            [Some("id".into()), Some(MASK.into()), Some(MASK.into())]
        );
        assert_eq!(
            values(false),
            [Some("id".into()), Some("u-1".into()), Some("base64:/wA=".into())]
        );
    }

    #[test]
    fn every_field_of_the_contract_is_known_to_be_open_or_masked() {
        // A new field of an event has to be looked at: may a viewer see it?
        let masked = [
            "balance",
            "name",
            "order_reference",
            "other_user_id",
            "reason",
            "reference",
            "user_id",
        ];
        for event in headgate_schemas::event::schemas() {
            let schema: Value = serde_json::from_str(event.text).expect("a schema is JSON");
            for field in schema["fields"].as_array().expect("a record has fields") {
                let name = field["name"].as_str().expect("a field has a name");
                let known = OPEN_FIELDS.contains(&name) || masked.contains(&name);
                assert!(known, "{}: may a viewer see `{name}`?", event.name);
            }
        }
    }
}
