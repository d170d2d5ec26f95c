//! A partner's back end: calls the api with a key.

use chrono::{SecondsFormat, TimeDelta, Utc};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use uuid::Uuid;

/// An answer, read as JSON where it is.
#[derive(Clone, Debug)]
pub struct Reply {
    /// HTTP status.
    pub status: StatusCode,
    /// Media type without parameters.
    pub media_type: String,
    /// Body; null where it is no JSON.
    pub body: Value,
    /// Whether `Retry-After` is there.
    pub retry_after: bool,
}

impl Reply {
    /// The problem's code; empty where there is none.
    pub fn code(&self) -> &str {
        self.body["code"].as_str().unwrap_or_default()
    }
}

/// Calls one api process.
#[derive(Clone, Debug)]
pub struct Partner {
    http: reqwest::Client,
    base: String,
    api_key: String,
}

impl Partner {
    /// A partner with this key at this api.
    pub fn new(base: String, api_key: &str) -> Self {
        Self {
            http: reqwest::Client::new(),
            base,
            api_key: api_key.to_owned(),
        }
    }

    /// Sends a request with the key.
    pub async fn send(&self, method: Method, path: &str, body: Option<&Value>) -> Reply {
        let request = self.request(method, path);
        let request = match body {
            Some(body) => request.json(body),
            None => request,
        };
        Self::reply(request).await
    }

    /// A request with the key, to be completed.
    pub fn request(&self, method: Method, path: &str) -> reqwest::RequestBuilder {
        self.http
            .request(method, format!("{}{path}", self.base))
            .header("x-api-key", &self.api_key)
    }

    /// Sends a request that was completed.
    pub async fn reply(request: reqwest::RequestBuilder) -> Reply {
        let answer = request.send().await.expect("the api answers");
        let header = |name| answer.headers().get(name).and_then(|value| value.to_str().ok());
        let media_type = header("content-type").unwrap_or_default();
        Reply {
            media_type: media_type.split(';').next().unwrap_or_default().to_owned(),
            retry_after: header("retry-after").is_some(),
            status: answer.status(),
            body: serde_json::from_str(&answer.text().await.unwrap_or_default()).unwrap_or_default(),
        }
    }

    /// Reads.
    pub async fn get(&self, path: &str) -> Reply {
        self.send(Method::GET, path, None).await
    }

    /// Posts.
    pub async fn post(&self, path: &str, body: &Value) -> Reply {
        self.send(Method::POST, path, Some(body)).await
    }

    /// Opens a campaign of this many coupons; its id.
    pub async fn open_campaign(&self, quota: u32) -> Uuid {
        self.campaign(&json!({"quota": quota})).await
    }

    /// Registers a campaign that is open now, with these members in place of usual ones.
    pub async fn campaign(&self, members: &Value) -> Uuid {
        let mut campaign = campaign_body(1);
        for (key, value) in members.as_object().expect("members are an object") {
            campaign[key] = value.clone();
        }
        let made = self.post("/v1/campaigns", &campaign).await;
        assert_eq!(made.status, StatusCode::CREATED, "{}", made.body);
        let id = made.body["campaign_id"].as_str().and_then(|id| id.parse().ok());
        id.unwrap_or_else(|| panic!("no campaign_id in {}", made.body))
    }

    /// Claims for a user.
    pub async fn claim(&self, campaign: Uuid, user: &str) -> Reply {
        self.post(
            &format!("/v1/campaigns/{campaign}/claims"),
            &json!({"user_id": user}),
        )
        .await
    }
}

/// A moment so many hours from now, as the api writes and reads it.
pub fn hours_from_now(hours: i64) -> String {
    (Utc::now() + TimeDelta::hours(hours)).to_rfc3339_opts(SecondsFormat::Millis, true)
}

/// A campaign as a partner registers it: open now, and for a day.
pub fn campaign_body(quota: u32) -> Value {
    json!({
        "name": "sale",
        "quota": quota,
        "opens_at": hours_from_now(-1),
        "closes_at": hours_from_now(24),
        "discount": {"type": "fixed", "amount": 1000},
    })
}
