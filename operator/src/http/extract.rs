//! What a request brings, with every refusal as a problem.

use axum::extract::rejection::{JsonRejection, PathRejection, QueryRejection};
use axum::extract::{FromRequest, FromRequestParts, Request};
use axum::http::StatusCode;
use axum::http::request::Parts;
use serde::de::DeserializeOwned;

use super::problem::FieldError;
use crate::Error;

/// A JSON body.
pub struct Body<T>(pub T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequest<S> for Body<T> {
    type Rejection = Error;

    async fn from_request(request: Request, state: &S) -> Result<Self, Error> {
        match axum::Json::<T>::from_request(request, state).await {
            Ok(axum::Json(body)) => Ok(Self(body)),
            Err(rejection) => Err(wrong_body(&rejection)),
        }
    }
}

fn wrong_body(rejection: &JsonRejection) -> Error {
    match rejection {
        JsonRejection::JsonDataError(_) => {
            Error::InvalidBody(vec![FieldError::new("body", rejection.body_text())])
        }
        JsonRejection::MissingJsonContentType(_) => Error::UnsupportedMediaType,
        _ if rejection.status() == StatusCode::PAYLOAD_TOO_LARGE => Error::BodyTooLarge {
            bytes_max: super::layers::BODY_BYTES_MAX,
        },
        _ => Error::MalformedBody(rejection.body_text()),
    }
}

/// The query string.
pub struct Query<T>(pub T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequestParts<S> for Query<T> {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Error> {
        axum::extract::Query::<T>::from_request_parts(parts, state)
            .await
            .map(|axum::extract::Query(query)| Self(query))
            .map_err(|rejection: QueryRejection| {
                Error::InvalidParameter(vec![FieldError::new("query", rejection.body_text())])
            })
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
