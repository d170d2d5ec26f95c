//! What is sent to make a subscription.

use headgate_domain::notifications::{Address, EventTypes, NewSubscription, Payload, Sink, Url};
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;

use crate::request::{Fields, ReadBody, flag, parsed, text};

/// Where events go.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[serde(tag = "type", rename_all = "snake_case")]
#[schema(as = Sink)]
pub enum SinkBody {
    /// To an HTTP endpoint: a signed POST for each event.
    Webhook {
        /// `https` or `http`; redirects are not followed.
        #[schema(max_length = 2048, example = "https://shop.example/hooks/headgate")]
        url: String,
    },
    /// To a mailbox: an e-mail for each event.
    Email {
        /// The address.
        #[schema(max_length = 254, example = "points@shop.example")]
        address: String,
    },
}

impl From<Sink> for SinkBody {
    fn from(sink: Sink) -> Self {
        match sink {
            Sink::Webhook(url) => Self::Webhook {
                url: url.as_str().to_owned(),
            },
            Sink::Email(address) => Self::Email {
                address: address.as_str().to_owned(),
            },
        }
    }
}

/// How much of an event is told.
#[derive(Clone, Copy, Debug, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(as = Payload)]
pub enum PayloadBody {
    /// All its fields.
    Full,
    /// That it happened, and to what.
    Zero,
}

impl From<Payload> for PayloadBody {
    fn from(payload: Payload) -> Self {
        match payload {
            Payload::Full => Self::Full,
            Payload::Zero => Self::Zero,
        }
    }
}

/// A subscription to be made, or what one is to become. This is its shape; [`ReadBody`] reads it
/// field by field.
#[derive(ToSchema)]
#[expect(dead_code, reason = "describes the body to OpenAPI")]
pub struct PutSubscription {
    /// Where events go.
    sink: SinkBody,
    /// Which events, by their full names.
    #[schema(min_items = 1, max_items = 64, example = json!(["io.headgate.points.PointsUsed"]))]
    event_types: Vec<String>,
    /// How much of each is told; all of it unless given.
    #[schema(required = false)]
    payload: Option<PayloadBody>,
    /// Whether anything is sent; true unless given.
    #[schema(required = false, default = true)]
    enabled: Option<bool>,
}

impl ReadBody for NewSubscription {
    fn read(fields: &mut Fields) -> Option<Self> {
        let sink = fields.required_object("sink", sink);
        let event_types = fields.required("event_types", event_types);
        let payload = fields.optional("payload", payload);
        let enabled = fields.optional("enabled", flag);
        Some(Self {
            sink: sink?,
            event_types: event_types?,
            payload: payload?.unwrap_or(Payload::Full),
            enabled: enabled?.unwrap_or(true),
        })
    }
}

fn sink(fields: &mut Fields) -> Option<Sink> {
    let kind = fields.required("type", |value| text(value).map(str::to_owned))?;
    match kind.as_str() {
        "webhook" => fields
            .required("url", |value| parsed(Url::new(text(value)?)))
            .map(Sink::Webhook),
        "email" => fields
            .required("address", |value| parsed(Address::new(text(value)?)))
            .map(Sink::Email),
        _ => {
            fields.fault("type", "must be `webhook` or `email`");
            None
        }
    }
}

fn event_types(value: &Value) -> Result<EventTypes, String> {
    let list = value.as_array().ok_or("must be a list")?;
    let names: Vec<&str> = list.iter().map(text).collect::<Result<_, _>>()?;
    parsed(EventTypes::new(names))
}

fn payload(value: &Value) -> Result<Payload, String> {
    match text(value)? {
        "full" => Ok(Payload::Full),
        "zero" => Ok(Payload::Zero),
        _ => Err("must be `full` or `zero`".to_owned()),
    }
}
