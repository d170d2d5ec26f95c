//! A partner's back end: calls the api with a key.

use headgate_schemas::ids::ClaimId;
use reqwest::header::HeaderMap;
use reqwest::{Method, RequestBuilder};
use serde_json::{Value, json};

/// An answer.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub headers: HeaderMap,
    pub body: Value,
}

impl Answer {
    pub async fn of(request: RequestBuilder) -> Self {
        let response = request.send().await.expect("an answer");
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        let text = response.text().await.expect("a body");
        let body = serde_json::from_str(&text).unwrap_or(Value::String(text));
        Self {
            status,
            headers,
            body,
        }
    }

    /// Status and code of a problem, after a look at the members that every problem has.
    #[track_caller]
    pub fn problem(&self) -> (u16, &str) {
        let body = &self.body;
        assert_eq!(
            self.header("content-type"),
            "application/problem+json",
            "{self:?}"
        );
        let code = body["code"]
            .as_str()
            .unwrap_or_else(|| panic!("no code: {self:?}"));
        assert_eq!(body["type"], json!(format!("/errors/{code}")), "{self:?}");
        assert_eq!(body["status"], json!(self.status), "{self:?}");
        let texts = ["title", "detail"].map(|name| body[name].as_str().is_some_and(|text| !text.is_empty()));
        assert_eq!(texts, [true, true], "{self:?}");
        assert_eq!(body["trace_id"].as_str().map(str::len), Some(32), "{self:?}");
        if [429, 503].contains(&self.status) {
            assert!(self.header("retry-after").parse::<u32>().is_ok(), "{self:?}");
        }
        (self.status, code)
    }

    #[track_caller]
    pub fn header(&self, name: &str) -> &str {
        let value = self
            .headers
            .get(name)
            .unwrap_or_else(|| panic!("no {name}: {self:?}"));
        value.to_str().expect("text")
    }

    /// Whether it says that it was given before.
    pub fn is_replayed(&self) -> bool {
        let said = self.headers.get("idempotency-replayed");
        assert!(said.is_none_or(|said| said == "true"), "{self:?}");
        said.is_some()
    }

    /// Names of the fields that `errors` lists.
    pub fn wrong_fields(&self) -> Vec<&str> {
        let errors = self.body["errors"]
            .as_array()
            .map(Vec::as_slice)
            .unwrap_or_default();
        errors
            .iter()
            .map(|error| error["field"].as_str().expect("a name"))
            .collect()
    }

    #[track_caller]
    pub fn text(&self, name: &str) -> &str {
        self.body[name]
            .as_str()
            .unwrap_or_else(|| panic!("no {name}: {self:?}"))
    }

    #[track_caller]
    pub fn id(&self, name: &str) -> ClaimId {
        self.text(name).parse().expect("an id")
    }
}

/// A partner with a key.
#[derive(Clone)]
pub struct Partner {
    http: reqwest::Client,
    url: String,
    key: String,
}

impl Partner {
    pub fn new(url: &str, key: &str) -> Self {
        Self {
            http: reqwest::Client::new(),
            url: url.to_owned(),
            key: key.to_owned(),
        }
    }

    /// A request with the key.
    pub fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.http
            .request(method, format!("{}{path}", self.url))
            .header("X-API-KEY", &self.key)
    }

    /// A request without one.
    pub fn anonymous(&self, method: Method, path: &str) -> RequestBuilder {
        self.http.request(method, format!("{}{path}", self.url))
    }

    pub async fn get(&self, path: &str) -> Answer {
        Answer::of(self.request(Method::GET, path)).await
    }

    pub async fn post(&self, path: &str, body: &Value) -> Answer {
        Answer::of(self.request(Method::POST, path).json(body)).await
    }

    /// Posts under an idempotency key.
    pub async fn post_keyed(&self, path: &str, key: &str, body: &Value) -> Answer {
        let request = self.request(Method::POST, path).header("Idempotency-Key", key);
        Answer::of(request.json(body)).await
    }

    pub async fn patch(&self, path: &str, body: &Value) -> Answer {
        Answer::of(self.request(Method::PATCH, path).json(body)).await
    }

    /// Registers a campaign that is open; returns its id.
    pub async fn campaign(&self, quota: u32) -> String {
        self.register(&open_campaign(quota)).await
    }

    /// Registers a campaign that opens at [`OPENS_LATER`]; returns its id.
    pub async fn scheduled_campaign(&self, quota: u32) -> String {
        let mut body = open_campaign(quota);
        body["opens_at"] = json!(OPENS_LATER);
        self.register(&body).await
    }

    async fn register(&self, body: &Value) -> String {
        let answer = self.post("/v1/campaigns", body).await;
        assert_eq!(answer.status, 201, "{answer:?}");
        answer.text("campaign_id").to_owned()
    }

    /// Pauses, resumes or ends a campaign.
    pub async fn act(&self, campaign: &str, what: &str) -> Answer {
        let path = format!("/v1/campaigns/{campaign}/{what}");
        self.post(&path, &json!({})).await
    }

    pub async fn claim(&self, campaign: &str, user: &str) -> Answer {
        let path = format!("/v1/campaigns/{campaign}/claims");
        self.post(&path, &json!({"user_id": user})).await
    }

    /// Reads a claim, and prefers to wait until it is settled.
    pub async fn wait_for_claim(&self, claim: &str, seconds: u32) -> Answer {
        let request = self
            .request(Method::GET, &format!("/v1/claims/{claim}"))
            .header("Prefer", format!("wait={seconds}"));
        Answer::of(request).await
    }

    pub async fn use_coupon(&self, coupon: &str, order: &str) -> Answer {
        let path = format!("/v1/coupons/{coupon}/use");
        self.post(&path, &json!({"order_reference": order})).await
    }

    pub async fn restore_coupon(&self, coupon: &str, body: &Value) -> Answer {
        self.post(&format!("/v1/coupons/{coupon}/restore"), body).await
    }
}

/// When a scheduled campaign opens.
pub const OPENS_LATER: &str = "2998-01-01T00:00:00Z";

/// A campaign that is open for long.
pub fn open_campaign(quota: u32) -> Value {
    json!({
        "name": "autumn",
        "quota": quota,
        "opens_at": "2020-01-01T00:00:00Z",
        "closes_at": "2999-01-01T00:00:00Z",
        "discount": {"type": "fixed", "amount": 1000},
    })
}
