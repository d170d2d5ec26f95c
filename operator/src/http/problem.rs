//! Errors as `application/problem+json` (RFC 9457).

use std::error::Error as _;
use std::time::Duration;

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use headgate_runtime::trace;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::Error;

/// Put before the name of a problem's page; the listener serves them itself.
pub const PAGES: &str = "/errors/";
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
    /// Page about this kind of problem.
    #[serde(rename = "type")]
    pub kind: String,
    /// The kind in words.
    pub title: String,
    /// HTTP status.
    pub status: u16,
    /// What happened this time.
    pub detail: String,
    /// A stable word for programs.
    pub code: String,
    /// Finds the request in logs and traces.
    #[serde(default)]
    #[schema(required)]
    pub trace_id: String,
    /// Every field that is wrong.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub errors: Vec<FieldError>,
}

impl IntoResponse for Error {
    fn into_response(self) -> Response {
        let code = self.code();
        let trace_id = trace::trace_id();
        if code.status().is_server_error() {
            tracing::error!(code = code.as_str(), trace_id, error = %Causes(&self), "an operator's request failed");
        }
        let problem = Problem {
            kind: format!("{PAGES}{}", code.as_str()),
            title: code.title().to_owned(),
            status: code.status().as_u16(),
            detail: self.to_string(),
            code: code.as_str().to_owned(),
            trace_id,
            errors: self.fields(),
        };
        let mut response = (code.status(), axum::Json(problem)).into_response();
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(MEDIA_TYPE));
        if code.status() == StatusCode::SERVICE_UNAVAILABLE {
            headers.insert(header::RETRY_AFTER, RETRY_AFTER.as_secs().into());
        }
        if code.status() == StatusCode::UNAUTHORIZED {
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
