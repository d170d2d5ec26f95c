//! What a request brings, with every refusal as a problem.

use axum::body::Bytes;
use axum::extract::rejection::PathRejection;
use axum::extract::{FromRequest, FromRequestParts, Request};
use axum::http::header::CONTENT_TYPE;
use axum::http::request::Parts;
use axum::http::{HeaderMap, StatusCode};
use headgate_dead_letters::discard::REASON_CHARS_MAX;
use serde::de::DeserializeOwned;

use super::problem::FieldError;
use crate::Error;

/// A JSON body.
pub struct Body<T>(pub T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequest<S> for Body<T> {
    type Rejection = Error;

    async fn from_request(request: Request, state: &S) -> Result<Self, Error> {
        if !is_json(request.headers()) {
            return Err(Error::UnsupportedMediaType);
        }
        let bytes = Bytes::from_request(request, state).await.map_err(|rejection| {
            if rejection.status() == StatusCode::PAYLOAD_TOO_LARGE {
                Error::BodyTooLarge {
                    bytes_max: super::layers::BODY_BYTES_MAX,
                }
            } else {
                Error::MalformedBody(rejection.body_text())
            }
        })?;
        let mut json = serde_json::Deserializer::from_slice(&bytes);
        let read = serde_path_to_error::deserialize(&mut json).map_err(|error| wrong_body(&error))?;
        json.end()
            .map_err(|error| Error::MalformedBody(error.to_string()))?;
        Ok(Self(read))
    }
}

fn is_json(headers: &HeaderMap) -> bool {
    let stated = headers
        .get(CONTENT_TYPE)
        .and_then(|value| value.to_str().ok())
        .unwrap_or_default();
    let media_type = stated.split(';').next().unwrap_or_default().trim();
    media_type.eq_ignore_ascii_case("application/json")
}

fn wrong_body(error: &serde_path_to_error::Error<serde_json::Error>) -> Error {
    if error.inner().is_data() {
        Error::InvalidBody(vec![wrong(error.path(), "body", error.inner())])
    } else {
        Error::MalformedBody(error.inner().to_string())
    }
}

/// A fault and where it is; `whole` where it is nowhere in particular.
fn wrong(path: &serde_path_to_error::Path, whole: &str, detail: &impl std::fmt::Display) -> FieldError {
    let path = path.to_string();
    let field = if path == "." { whole } else { &path };
    FieldError::new(field, detail.to_string())
}

/// The query string.
pub struct Query<T>(pub T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequestParts<S> for Query<T> {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Error> {
        let query = parts.uri.query().unwrap_or_default();
        let pairs = serde_urlencoded::Deserializer::new(form_urlencoded::parse(query.as_bytes()));
        let read = serde_path_to_error::deserialize(pairs);
        read.map(Self)
            .map_err(|error| Error::InvalidParameter(vec![wrong(error.path(), "query", error.inner())]))
    }
}

/// Segments of the path.
pub struct Path<T>(pub T);

impl<S: Send + Sync, T: DeserializeOwned + Send> FromRequestParts<S> for Path<T> {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Error> {
        axum::extract::Path::<T>::from_request_parts(parts, state)
            .await
            .map(|axum::extract::Path(segments)| Self(segments))
            .map_err(|rejection: PathRejection| {
                Error::InvalidParameter(vec![FieldError::new("path", rejection.body_text())])
            })
    }
}

/// Rows of a page unless the request says otherwise.
pub const PAGE_ROWS_USUAL: u32 = 50;
/// Most rows of a page.
pub const PAGE_ROWS_MAX: u32 = 500;

/// Why something is done: not empty, and not longer than [`REASON_CHARS_MAX`] characters.
pub fn stated(reason: &str) -> Result<&str, FieldError> {
    let reason = reason.trim();
    if (1..=REASON_CHARS_MAX).contains(&reason.chars().count()) {
        Ok(reason)
    } else {
        let detail = format!("must have 1 to {REASON_CHARS_MAX} characters");
        Err(FieldError::new("reason", detail))
    }
}

/// The length of a page that a request asked for.
pub fn page_rows(limit: Option<u32>) -> Result<u32, Error> {
    let rows = limit.unwrap_or(PAGE_ROWS_USUAL);
    if (1..=PAGE_ROWS_MAX).contains(&rows) {
        Ok(rows)
    } else {
        let detail = format!("must lie between 1 and {PAGE_ROWS_MAX}");
        Err(Error::InvalidParameter(vec![FieldError::new("limit", detail)]))
    }
}
