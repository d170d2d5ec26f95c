//! Errors as outsiders see them: RFC 9457, `application/problem+json`.
//! <https://www.rfc-editor.org/rfc/rfc9457>

mod code;
pub(crate) mod of_error;

use std::borrow::Cow;
use std::time::Duration;

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use chrono::{DateTime, Utc};
use serde::Serialize;
use utoipa::ToSchema;

use crate::claims::EarlierClaim;

pub use code::Code;

/// The media type of every error answer.
pub const MEDIA_TYPE: &str = "application/problem+json";
/// What a client is asked to wait when something is away or too busy.
pub const RETRY_AFTER: Duration = Duration::from_secs(1);

/// An error answer, before it is written out: the middleware adds the trace id.
#[derive(Clone, Debug)]
pub struct Problem {
    code: Code,
    detail: Cow<'static, str>,
    members: Option<Box<Members>>,
    retry_after: Option<Duration>,
    /// What went wrong inside, for the log only.
    cause: Option<Box<str>>,
    /// Of an answer that is kept, and given again word for word.
    trace_id: Option<Box<str>>,
}

/// Members that some kinds of problem have beside the usual ones.
#[derive(Clone, Debug, Default, Serialize, ToSchema)]
pub struct Members {
    /// Every wrong field or parameter.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schema(required = false)]
    pub errors: Vec<WrongField>,
    /// `coupon-sold-out`: false while tickets may still come back.
    #[serde(rename = "final", skip_serializing_if = "Option::is_none")]
    pub is_final: Option<bool>,
    /// `coupon-already-claimed`: the earlier claim.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub claim: Option<EarlierClaim>,
    /// `points-insufficient`: what can be spent. `point-cancel-exceeds`: what can be cancelled.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub available: Option<u64>,
    /// `campaign-not-open`: when it opens.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub opens_at: Option<DateTime<Utc>>,
}

/// A field or parameter that cannot be accepted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct WrongField {
    /// Its name; dots lead into objects.
    #[schema(example = "discount.amount")]
    pub field: String,
    /// What is wrong with it.
    #[schema(example = "must be between 1 and 1000000000000000")]
    pub detail: String,
}

/// The body of an error answer.
#[derive(Serialize, ToSchema)]
#[schema(as = Problem)]
pub struct Body<'p> {
    /// A page about this kind of problem.
    #[serde(rename = "type")]
    #[schema(example = "/errors/coupon-sold-out")]
    kind: String,
    /// What it is, in a few words.
    title: &'p str,
    /// The status of the answer.
    #[schema(example = 409)]
    status: u16,
    /// What it is this time.
    detail: &'p str,
    /// A stable word for the kind.
    #[schema(example = "coupon-sold-out")]
    code: &'p str,
    /// Names this request in logs and traces.
    trace_id: &'p str,
    #[serde(flatten)]
    #[schema(value_type = Members)]
    members: &'p Option<Box<Members>>,
}

impl Problem {
    /// A problem of this kind. `detail` says what it is this time.
    pub fn new(code: Code, detail: impl Into<Cow<'static, str>>) -> Self {
        Self {
            code,
            detail: detail.into(),
            members: None,
            retry_after: None,
            cause: None,
            trace_id: None,
        }
    }

    /// Wrong fields of a body, or wrong parameters.
    pub fn wrong_fields(code: Code, errors: Vec<WrongField>) -> Self {
        let detail = match errors.len() {
            1 => Cow::Borrowed("one field is wrong, see errors"),
            fields => Cow::Owned(format!("{fields} fields are wrong, see errors")),
        };
        Self::new(code, detail).with(Members {
            errors,
            ..Members::default()
        })
    }

    /// One wrong parameter of the path or the query, or a wrong header.
    pub fn parameter(field: impl Into<String>, detail: impl Into<String>) -> Self {
        let wrong = WrongField {
            field: field.into(),
            detail: detail.into(),
        };
        Self::wrong_fields(Code::InvalidParameter, vec![wrong])
    }

    /// Something is away or too busy: the client may try again.
    pub fn try_again(code: Code, detail: &'static str, retry_after: Duration) -> Self {
        let mut problem = Self::new(code, detail);
        problem.retry_after = Some(retry_after);
        problem
    }

    /// The same request, by its idempotency key, is being answered.
    pub fn in_progress() -> Self {
        let detail = "a request with this key is being answered; ask again for its answer";
        Self::try_again(Code::IdempotencyInProgress, detail, RETRY_AFTER)
    }

    /// A fault of ours; `cause` goes to the log.
    pub fn internal(cause: impl Into<Box<str>>) -> Self {
        let problem = Self::new(Code::Internal, "the fault is recorded under the trace id");
        problem.because(cause)
    }

    /// Adds what went wrong inside, for the log.
    #[must_use]
    pub fn because(mut self, cause: impl Into<Box<str>>) -> Self {
        self.cause = Some(cause.into());
        self
    }

    /// Adds members.
    #[must_use]
    pub fn with(mut self, members: Members) -> Self {
        self.members = Some(Box::new(members));
        self
    }

    /// The same under this trace id, whatever the request's own is.
    #[must_use]
    pub fn traced(mut self, trace_id: impl Into<Box<str>>) -> Self {
        self.trace_id = Some(trace_id.into());
        self
    }

    /// The trace id that it was given.
    pub fn trace_id(&self) -> Option<&str> {
        self.trace_id.as_deref()
    }

    /// The kind.
    pub const fn code(&self) -> Code {
        self.code
    }

    /// What went wrong inside.
    pub fn cause(&self) -> Option<&str> {
        self.cause.as_deref()
    }

    /// The body of the answer. `base` is put before the name of the page.
    pub fn body(&self, base: &str, trace_id: &str) -> Vec<u8> {
        let body = Body {
            kind: [base, self.code.as_str()].concat(),
            title: self.code.title(),
            status: self.code.status().as_u16(),
            detail: &self.detail,
            code: self.code.as_str(),
            trace_id,
            members: &self.members,
        };
        // Strings, numbers and times: there is nothing that JSON could not hold.
        serde_json::to_vec(&body).unwrap_or_default()
    }

    /// Writes the answer out. `base` is put before the name of the page.
    pub fn render(&self, base: &str, trace_id: &str) -> Response {
        let body = self.body(base, trace_id);
        let mut response = Response::new(body.into());
        *response.status_mut() = self.code.status();
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(MEDIA_TYPE));
        if let Some(retry_after) = self.retry_after {
            let seconds = retry_after.as_secs_f64().ceil().max(1.0);
            if let Ok(value) = HeaderValue::try_from(format!("{seconds:.0}")) {
                headers.insert(header::RETRY_AFTER, value);
            }
        }
        if self.code.status() == StatusCode::UNAUTHORIZED {
            let scheme = match self.code {
                Code::LoginFailed | Code::TokenInvalid => "Bearer",
                _ => "ApiKey",
            };
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static(scheme));
        }
        response
    }
}

impl IntoResponse for Problem {
    /// Leaves the problem for the middleware, which knows the trace.
    fn into_response(self) -> Response {
        let mut response = self.code.status().into_response();
        response.extensions_mut().insert(self);
        response
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    /// Pages that only the operators' listener leads to; its own test compares them.
    fn operators_pages() -> BTreeSet<String> {
        let source = include_str!("../../../operator/src/http/code.rs");
        source
            .split('"')
            .skip(1)
            .step_by(2)
            .map(|word| format!("{word}.md"))
            .collect()
    }

    #[test]
    fn every_code_has_a_page_and_every_page_a_code() {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/errors");
        let pages: BTreeSet<String> = std::fs::read_dir(folder)
            .expect("the folder of pages")
            .map(|entry| entry.expect("a file").file_name().into_string().expect("a name"))
            .collect();
        let codes: BTreeSet<String> = Code::ALL
            .iter()
            .map(|code| format!("{}.md", code.as_str()))
            .collect();
        let missing: Vec<_> = codes.difference(&pages).collect();
        assert!(missing.is_empty(), "codes without a page: {missing:?}");
        let operators = operators_pages();
        let unknown: Vec<_> = pages
            .difference(&codes)
            .filter(|page| !operators.contains(*page))
            .collect();
        assert!(unknown.is_empty(), "pages without a code: {unknown:?}");
    }

    #[test]
    fn every_page_says_what_the_answer_says_and_what_to_do() {
        for code in Code::ALL {
            let page = code.page();
            let heading = format!("# {}\n", code.title());
            assert!(page.starts_with(&heading), "{code:?} begins with its title");
            let status = format!("`{}`, status {}", code.as_str(), code.status().as_u16());
            assert!(page.contains(&status), "{code:?} names code and status");
            assert!(page.contains("## What to do\n"), "{code:?} says what to do");
        }
    }

    #[test]
    fn a_problem_has_the_members_of_the_contract() {
        let problem = Problem::new(Code::CouponSoldOut, "no ticket is left").with(Members {
            is_final: Some(false),
            ..Members::default()
        });
        let response = problem.render("/errors/", "0af7651916cd43dd8448eb211c80319c");
        assert_eq!(response.status(), StatusCode::CONFLICT);
        assert_eq!(
            response.headers()[header::CONTENT_TYPE],
            "application/problem+json"
        );
        let body = futures::executor::block_on(axum::body::to_bytes(response.into_body(), 1_000));
        let body: serde_json::Value = serde_json::from_slice(&body.expect("a body")).expect("JSON");
        assert_eq!(
            body,
            serde_json::json!({
                "type": "/errors/coupon-sold-out", "title": "The coupons are sold out", "status": 409,
                "detail": "no ticket is left", "code": "coupon-sold-out",
                "trace_id": "0af7651916cd43dd8448eb211c80319c", "final": false,
            })
        );
    }
}
