//! Webhooks: a `CloudEvents` 1.0 message over HTTP in binary mode, signed.
//! <https://github.com/cloudevents/spec/blob/v1.0.2/cloudevents/bindings/http-protocol-binding.md>

use std::sync::Arc;

use chrono::{DateTime, SecondsFormat, Utc};
use headgate_domain::notifications::Url;
use headgate_domain::notifications::store::Taken;
use headgate_runtime::error_text;
use headgate_schemas::headers::{CE_SOURCE_VALUE, CE_SPECVERSION_VALUE};
use reqwest::header::{CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use reqwest::redirect::Policy;
use reqwest::{Client, Response};

use super::addresses::Resolver;
use super::outcome::Outcome;
use super::sign::signatures;
use crate::config::Notifications;

/// Connections to one endpoint that are kept open.
const IDLE_MAX: usize = 2;
/// Who sends.
const USER_AGENT: &str = concat!("headgate/", env!("CARGO_PKG_VERSION"));

/// Sends to webhooks.
#[derive(Clone, Debug)]
pub(crate) struct Webhooks {
    client: Client,
    resolver: Resolver,
    answer_bytes_max: usize,
}

impl Webhooks {
    pub(crate) fn new(config: &Notifications) -> Result<Self, reqwest::Error> {
        let resolver = Resolver {
            allow_private: config.allow_private_addresses,
        };
        let client = Client::builder()
            .user_agent(USER_AGENT)
            .timeout(config.timeout)
            .connect_timeout(config.timeout)
            // Either would lead to addresses that nobody has checked.
            .redirect(Policy::none())
            .no_proxy()
            .dns_resolver(Arc::new(resolver))
            .pool_max_idle_per_host(IDLE_MAX)
            .build()?;
        Ok(Self {
            client,
            resolver,
            answer_bytes_max: config.answer_bytes_max,
        })
    }

    /// Sends a delivery, and hears what becomes of it.
    pub(crate) async fn send(&self, taken: &Taken, url: &Url, now: DateTime<Utc>) -> Outcome {
        let url: reqwest::Url = match url.as_str().parse() {
            Ok(url) => url,
            Err(_) => return Outcome::failed("the URL cannot be read any more".to_owned()),
        };
        if let Err(refused) = self.resolver.check(&url) {
            return Outcome::failed(refused.to_string());
        }
        let body = taken.body.clone().unwrap_or_default();
        let request = self.client.post(url).headers(headers(taken, &body, now));
        match request.body(body).send().await {
            Ok(answer) => {
                let outcome = Outcome::of_answer(answer.status(), answer.headers(), now);
                self.read_out(answer).await;
                outcome
            }
            Err(error) if error.is_timeout() => {
                Outcome::failed("the endpoint did not answer in time".to_owned())
            }
            Err(error) => Outcome::failed(error_text(&error.without_url())),
        }
    }

    /// Reads a short answer to its end, so that the connection can be used again. Of a longer one,
    /// which nobody asked for, the connection is closed.
    async fn read_out(&self, mut answer: Response) {
        let mut left = self.answer_bytes_max;
        while let Ok(Some(piece)) = answer.chunk().await {
            match left.checked_sub(piece.len()) {
                Some(rest) => left = rest,
                None => return,
            }
        }
    }
}

/// The headers of a delivery. What cannot be a header's value is left out: ids, names and times can.
fn headers(taken: &Taken, body: &[u8], now: DateTime<Utc>) -> HeaderMap {
    let mut headers = HeaderMap::new();
    let mut set = |name: &'static str, value: &str| {
        if let Ok(value) = HeaderValue::from_str(value) {
            headers.insert(HeaderName::from_static(name), value);
        }
    };
    set("ce-specversion", CE_SPECVERSION_VALUE);
    set("ce-source", CE_SOURCE_VALUE);
    set("ce-id", &taken.event_id.to_string());
    set("ce-type", &taken.event_type);
    set("ce-subject", &taken.aggregate_id);
    set(
        "ce-time",
        &taken.event_time.to_rfc3339_opts(SecondsFormat::AutoSi, true),
    );
    if let Some(sequence) = taken.sequence {
        set("ce-sequence", &sequence.to_string());
    }
    let (id, timestamp) = (taken.delivery_id.to_string(), now.timestamp());
    set("webhook-id", &id);
    set("webhook-timestamp", &timestamp.to_string());
    set(
        "webhook-signature",
        &signatures(&taken.secrets, &id, timestamp, body),
    );
    if taken.body.is_some() {
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    }
    headers
}
