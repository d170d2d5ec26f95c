//! Answers that are kept, and given again.

use axum::body::Body;
use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use headgate_domain::idempotency;
use serde::Serialize;

use crate::problem::{self, Problem};

/// Says of an answer that it is an earlier one.
const REPLAYED: HeaderName = HeaderName::from_static("idempotency-replayed");

/// An answer, as it can be kept.
#[derive(Clone, Debug)]
pub struct Answer(idempotency::Answer);

impl Answer {
    /// A JSON body.
    pub fn json(status: StatusCode, body: &impl Serialize) -> Result<Self, Problem> {
        let body = serde_json::to_vec(body).map_err(|error| Problem::internal(error.to_string()))?;
        Ok(Self(idempotency::Answer {
            status: status.as_u16(),
            content_type: "application/json".to_owned(),
            location: None,
            body,
        }))
    }

    /// The same with a `Location`.
    #[must_use]
    pub fn at(mut self, location: String) -> Self {
        self.0.location = Some(location);
        self
    }

    /// What a problem will be written out as under this trace id.
    pub(super) fn of_problem(problem: &Problem, base: &str, trace_id: &str) -> Self {
        Self(idempotency::Answer {
            status: problem.code().status().as_u16(),
            content_type: problem::MEDIA_TYPE.to_owned(),
            location: None,
            body: problem.body(base, trace_id),
        })
    }

    /// As it is kept.
    pub(super) const fn kept(&self) -> &idempotency::Answer {
        &self.0
    }

    fn written_out(self) -> Result<Response, axum::http::Error> {
        let mut response = Response::builder()
            .status(self.0.status)
            .header(header::CONTENT_TYPE, self.0.content_type);
        if let Some(location) = self.0.location {
            response = response.header(header::LOCATION, location);
        }
        response.body(Body::from(self.0.body))
    }
}

impl IntoResponse for Answer {
    fn into_response(self) -> Response {
        match self.written_out() {
            Ok(response) => response,
            Err(error) => Problem::internal(error.to_string()).into_response(),
        }
    }
}

/// An earlier answer, given again.
pub(super) fn replayed(kept: idempotency::Answer) -> Response {
    let mut response = Answer(kept).into_response();
    let yes = HeaderValue::from_static("true");
    response.headers_mut().insert(REPLAYED, yes);
    response
}
