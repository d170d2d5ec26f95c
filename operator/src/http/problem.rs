//! Errors as `application/problem+json` (RFC 9457). One function says what each error
//! is to whoever asked.

use std::error::Error as _;
use std::time::Duration;

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use headgate_dead_letters as letters;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::Error;

/// Where the pages of the problem types are: `docs/errors/<code>.md`.
pub const TYPE_BASE: &str = "https://headgate.io/errors/";
/// When to ask again, if a server was away.
const RETRY_AFTER: Duration = Duration::from_secs(1);
/// Media type of a problem.
const MEDIA_TYPE: &str = "application/problem+json";

/// A field that is wrong.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct FieldError {
    /// Which one.
    pub field: String,
    /// What is wrong with it.
    pub detail: String,
}

impl FieldError {
    /// A field and what is wrong with it.
    pub fn new(field: &str, detail: impl Into<String>) -> Self {
        Self {
            field: field.to_owned(),
            detail: detail.into(),
        }
    }
}

/// An error as the client sees it.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Problem {
    /// Page about this type of problem.
    #[serde(rename = "type")]
    pub kind: String,
    /// The type in words.
    pub title: String,
    /// HTTP status.
    pub status: u16,
    /// What happened this time.
    pub detail: String,
    /// A stable word for programs.
    pub code: String,
    /// Finds the request in logs and traces.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub trace_id: Option<String>,
    /// Every field that is wrong.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub errors: Vec<FieldError>,
}

/// Status, code and title of each error.
fn classify(error: &Error) -> (StatusCode, &'static str, &'static str) {
    use StatusCode as S;
    match error {
        Error::Unauthenticated => (S::UNAUTHORIZED, "unauthenticated", "No valid token"),
        Error::Forbidden { .. } => (S::FORBIDDEN, "forbidden", "Not allowed for this role"),
        Error::Invalid(_) => (S::BAD_REQUEST, "invalid-request", "The request is not valid"),
        Error::TooLarge { .. } => (S::PAYLOAD_TOO_LARGE, "body-too-large", "The body is too large"),
        Error::NotFound { .. } | Error::NoRoute => (S::NOT_FOUND, "not-found", "Nothing is there"),
        Error::MethodNotAllowed => (
            S::METHOD_NOT_ALLOWED,
            "method-not-allowed",
            "Not with this method",
        ),
        Error::DeadLetters(error) if let Some(classified) = classify_letter(error) => classified,
        Error::Busy => (S::SERVICE_UNAVAILABLE, "overloaded", "Too many requests at once"),
        Error::Timeout(_) => (S::SERVICE_UNAVAILABLE, "timeout", "No answer in time"),
        error if error.is_unavailable() => (S::SERVICE_UNAVAILABLE, "unavailable", "A server is away"),
        Error::DeadLetters(_)
        | Error::Groups(_)
        | Error::Domain(_)
        | Error::Admission(_)
        | Error::Database(_)
        | Error::Registry(_)
        | Error::Kafka(_)
        | Error::Internal(_) => (S::INTERNAL_SERVER_ERROR, "internal-error", "A fault of ours"),
    }
}

/// What a refusal of a dead letter is; `None`: not a refusal.
fn classify_letter(error: &letters::Error) -> Option<(StatusCode, &'static str, &'static str)> {
    use StatusCode as S;
    Some(match error {
        letters::Error::NotFound(_) => (S::NOT_FOUND, "dead-letter-not-found", "No such dead letter"),
        letters::Error::NotOpen { .. } => {
            (S::CONFLICT, "dead-letter-not-open", "The dead letter is not open")
        }
        letters::Error::TooOld(_) => (
            S::CONFLICT,
            "dead-letter-too-old",
            "The dead letter is older than the inbox",
        ),
        letters::Error::UnknownTopic(_) => (
            S::CONFLICT,
            "dead-letter-unknown-topic",
            "The dead letter's topic is no more",
        ),
        letters::Error::Reason => (S::BAD_REQUEST, "invalid-request", "The request is not valid"),
        letters::Error::Headers(_) | letters::Error::Outbox(_) | letters::Error::Database(_) => return None,
    })
}

/// The stable word for an error.
pub fn code(error: &Error) -> &'static str {
    classify(error).1
}

impl IntoResponse for Error {
    fn into_response(self) -> Response {
        let (status, code, title) = classify(&self);
        if status.is_server_error() {
            tracing::error!(code, error = %Causes(&self), "an operator's request failed");
        }
        let problem = Problem {
            kind: format!("{TYPE_BASE}{code}"),
            title: title.to_owned(),
            status: status.as_u16(),
            detail: self.to_string(),
            code: code.to_owned(),
            trace_id: headgate_runtime::telemetry::current_trace_id(),
            errors: match self {
                Self::Invalid(errors) => errors,
                Self::DeadLetters(error @ letters::Error::Reason) => {
                    vec![FieldError::new("reason", error.to_string())]
                }
                _ => Vec::new(),
            },
        };
        let mut response = (status, axum::Json(problem)).into_response();
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(MEDIA_TYPE));
        if status == StatusCode::SERVICE_UNAVAILABLE {
            headers.insert(header::RETRY_AFTER, RETRY_AFTER.as_secs().into());
        }
        if status == StatusCode::UNAUTHORIZED {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        response
    }
}

/// An error with everything below it, in one line.
struct Causes<'e>(&'e Error);

impl std::fmt::Display for Causes<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}", self.0)?;
        let mut cause = self.0.source();
        while let Some(error) = cause {
            write!(f, ": {error}")?;
            cause = error.source();
        }
        Ok(())
    }
}
