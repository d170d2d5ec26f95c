//! The operator's listener and the api, as the command line calls them.

use std::time::Duration;

use reqwest::{Method, RequestBuilder, StatusCode};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::Error;
use crate::http::problem::Problem;

/// Longest wait for an answer: above the listener's own limit, so that its answer wins.
const ANSWER_TIMEOUT: Duration = Duration::from_mins(1);
/// Where the operator's listener is unless HEADGATE_OPERATOR_URL says otherwise.
const OPERATOR_URL_USUAL: &str = "http://127.0.0.1:8090";
/// Where the api is unless HEADGATE_API_URL says otherwise.
const API_URL_USUAL: &str = "http://127.0.0.1:8080";

/// A client of one of the two.
pub struct Client {
    http: reqwest::Client,
    url: String,
    server: &'static str,
    secret: Secret,
}

enum Secret {
    Bearer(String),
    ApiKey(String),
}

impl Client {
    /// The operator's listener, with HEADGATE_OPERATOR_TOKEN.
    pub fn operator() -> Result<Self, Error> {
        let token = required("HEADGATE_OPERATOR_TOKEN")?;
        let url = variable("HEADGATE_OPERATOR_URL").unwrap_or_else(|| OPERATOR_URL_USUAL.to_owned());
        Self::new(&url, "the operator listener", Secret::Bearer(token))
    }

    /// The api, with HEADGATE_API_KEY.
    pub fn api() -> Result<Self, Error> {
        let key = required("HEADGATE_API_KEY")?;
        let url = variable("HEADGATE_API_URL").unwrap_or_else(|| API_URL_USUAL.to_owned());
        Self::new(&url, "the api", Secret::ApiKey(key))
    }

    fn new(url: &str, server: &'static str, secret: Secret) -> Result<Self, Error> {
        let http = reqwest::Client::builder()
            .timeout(ANSWER_TIMEOUT)
            .build()
            .map_err(|error| Error::Unavailable(server, error.into()))?;
        Ok(Self {
            http,
            url: url.trim_end_matches('/').to_owned(),
            server,
            secret,
        })
    }

    fn request(&self, method: Method, path: &str) -> RequestBuilder {
        let request = self.http.request(method, format!("{}{path}", self.url));
        match &self.secret {
            Secret::Bearer(token) => request.bearer_auth(token),
            Secret::ApiKey(key) => request.header("x-api-key", key),
        }
    }

    /// Reads something; `query` is added to the path.
    pub async fn get<A: DeserializeOwned>(&self, path: &str, query: &impl Serialize) -> Result<A, Error> {
        self.answer(self.request(Method::GET, path).query(query)).await
    }

    /// Does something.
    pub async fn post<A: DeserializeOwned>(&self, path: &str, body: &impl Serialize) -> Result<A, Error> {
        self.answer(self.request(Method::POST, path).json(body)).await
    }

    /// Writes something as a whole.
    pub async fn put<A: DeserializeOwned>(&self, path: &str, body: &impl Serialize) -> Result<A, Error> {
        self.answer(self.request(Method::PUT, path).json(body)).await
    }

    /// Removes something; `query` is added to the path.
    pub async fn delete<A: DeserializeOwned>(&self, path: &str, query: &impl Serialize) -> Result<A, Error> {
        self.answer(self.request(Method::DELETE, path).query(query)).await
    }

    async fn answer<A: DeserializeOwned>(&self, request: RequestBuilder) -> Result<A, Error> {
        let away = |error: reqwest::Error| Error::Unavailable(self.server, error.into());
        let response = request.send().await.map_err(away)?;
        let status = response.status();
        let text = response.text().await.map_err(away)?;
        if status.is_success() {
            return serde_json::from_str(&text).map_err(|error| {
                Error::Refused(
                    format!("{} answers something else than was agreed", self.server),
                    Some(error.into()),
                )
            });
        }
        Err(self.refusal(status, &text))
    }

    fn refusal(&self, status: StatusCode, text: &str) -> Error {
        let said = match serde_json::from_str::<Problem>(text) {
            Ok(problem) => {
                let fields = problem
                    .errors
                    .iter()
                    .map(|wrong| format!("\n  {}: {}", wrong.field, wrong.detail));
                format!(
                    "{} ({}){}",
                    problem.detail,
                    problem.code,
                    fields.collect::<String>()
                )
            }
            Err(_) => format!("HTTP status {status}"),
        };
        if status.is_server_error() {
            Error::Unavailable(self.server, said.into())
        } else {
            Error::Refused(format!("{} refuses: {said}", self.server), None)
        }
    }
}

/// A variable of the environment that says something.
pub(super) fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

fn required(name: &'static str) -> Result<String, Error> {
    variable(name).ok_or_else(|| Error::Usage(format!("{name} is not set")))
}
