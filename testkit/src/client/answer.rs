//! What the api answers to a claim, told apart as a client would.

use hyper::StatusCode;
use serde::Deserialize;
use uuid::Uuid;

use super::connection::Answered;

/// A claim as answers show it.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq)]
pub struct Claim {
    /// Its id.
    pub claim_id: Uuid,
    /// 1 to the quota.
    pub ticket: u32,
    /// Left out where an earlier claim is shown.
    #[serde(default)]
    pub sequence: Option<u64>,
    /// `admitted`, `issued`.
    pub state: String,
}

/// What came back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// 202, or 201 where the coupon exists already.
    Admitted(Claim),
    /// 409 with the earlier claim.
    AlreadyClaimed(Claim),
    /// 409, and whether it is the last word.
    SoldOut {
        /// False while tickets are pending.
        last_word: bool,
    },
    /// 409 or 410 for another stated reason: not open, paused, ended.
    Refused {
        /// HTTP status.
        status: u16,
        /// The problem's code.
        code: String,
    },
    /// 503 or 429: ask again.
    Unavailable {
        /// The problem's code.
        code: String,
        /// Whether the answer says when to ask again.
        retry_after: bool,
    },
    /// No answer: the connection broke or the time was up.
    Lost(String),
    /// What no client expects.
    Unexpected {
        /// HTTP status.
        status: u16,
        /// Beginning of the body.
        body: String,
    },
}

/// The members of a problem that matter here.
#[derive(Debug, Deserialize)]
struct Problem {
    code: String,
    #[serde(rename = "final")]
    last_word: Option<bool>,
    claim: Option<Claim>,
}

/// Longest piece of an unexpected body that is kept, in characters.
const BODY_SHOWN_CHARS: usize = 500;

impl Answer {
    pub(super) fn read(answered: &Answered) -> Self {
        let unexpected = || Self::Unexpected {
            status: answered.status.as_u16(),
            body: answered.text().chars().take(BODY_SHOWN_CHARS).collect(),
        };
        match answered.status {
            StatusCode::ACCEPTED | StatusCode::CREATED => {
                let claim = serde_json::from_slice::<Claim>(&answered.body);
                claim
                    .ok()
                    .filter(|claim| claim.sequence.is_some())
                    .map_or_else(unexpected, Self::Admitted)
            }
            StatusCode::CONFLICT | StatusCode::GONE => problem(answered)
                .and_then(|problem| Self::refusal(answered, problem))
                .unwrap_or_else(unexpected),
            StatusCode::SERVICE_UNAVAILABLE | StatusCode::TOO_MANY_REQUESTS => {
                problem(answered).map_or_else(unexpected, |problem| Self::Unavailable {
                    code: problem.code,
                    retry_after: answered.headers.contains_key(hyper::header::RETRY_AFTER),
                })
            }
            _ => unexpected(),
        }
    }

    fn refusal(answered: &Answered, problem: Problem) -> Option<Self> {
        Some(match problem.code.as_str() {
            "coupon-already-claimed" => Self::AlreadyClaimed(problem.claim?),
            "coupon-sold-out" => Self::SoldOut {
                last_word: problem.last_word?,
            },
            _ => Self::Refused {
                status: answered.status.as_u16(),
                code: problem.code,
            },
        })
    }

    /// A name for counting.
    pub fn kind(&self) -> String {
        match self {
            Self::Admitted(_) => "202 admitted".to_owned(),
            Self::AlreadyClaimed(_) => "409 coupon-already-claimed".to_owned(),
            Self::SoldOut { last_word: true } => "409 coupon-sold-out".to_owned(),
            Self::SoldOut { last_word: false } => "409 coupon-sold-out, not final".to_owned(),
            Self::Refused { status, code } => format!("{status} {code}"),
            Self::Unavailable { code, .. } => format!("503 {code}"),
            Self::Lost(_) => "lost".to_owned(),
            Self::Unexpected { status, .. } => format!("unexpected {status}"),
        }
    }

    /// The claim that this answer promises.
    pub const fn promise(&self) -> Option<&Claim> {
        match self {
            Self::Admitted(claim) | Self::AlreadyClaimed(claim) => Some(claim),
            _ => None,
        }
    }

    /// Whether a user who wants a coupon has no reason to ask again.
    pub const fn is_final(&self) -> bool {
        !matches!(
            self,
            Self::SoldOut { last_word: false } | Self::Unavailable { .. } | Self::Lost(_)
        )
    }
}

/// The problem, if the answer is one by its media type, too.
fn problem(answered: &Answered) -> Option<Problem> {
    let media_type = answered.headers.get(hyper::header::CONTENT_TYPE)?.to_str().ok()?;
    let is_problem = media_type.starts_with("application/problem+json");
    is_problem.then(|| serde_json::from_slice(&answered.body).ok())?
}

#[cfg(test)]
mod tests {
    use super::*;
    use hyper::HeaderMap;
    use hyper::body::Bytes;
    use hyper::header::{CONTENT_TYPE, HeaderValue, RETRY_AFTER};

    fn answered(status: StatusCode, media_type: &'static str, body: &str) -> Answered {
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(media_type));
        Answered {
            status,
            headers,
            body: Bytes::from(body.to_owned()),
        }
    }

    fn problem(status: StatusCode, body: &str) -> Answer {
        Answer::read(&answered(status, "application/problem+json", body))
    }

    const CLAIM: &str = r#"{"claim_id": "0198c5a1-7b1e-7c3d-9a55-2f6d1c0b4e77", "ticket": 57, "sequence": 57, "state": "admitted"}"#;

    #[test]
    fn answers_are_told_apart() {
        let admitted = Answer::read(&answered(StatusCode::ACCEPTED, "application/json", CLAIM));
        assert_eq!(admitted.promise().map(|claim| claim.ticket), Some(57));
        let earlier = format!(r#"{{"code": "coupon-already-claimed", "claim": {CLAIM}}}"#);
        let earlier = problem(StatusCode::CONFLICT, &earlier);
        assert_eq!(earlier.kind(), "409 coupon-already-claimed");
        assert_eq!(earlier.promise(), admitted.promise());
        let pending = problem(
            StatusCode::CONFLICT,
            r#"{"code": "coupon-sold-out", "final": false}"#,
        );
        assert!(!pending.is_final());
        let ended = problem(StatusCode::GONE, r#"{"code": "campaign-ended"}"#);
        assert!(ended.is_final());
        assert_eq!(ended.kind(), "410 campaign-ended");
    }

    #[test]
    fn what_the_contract_does_not_say_is_unexpected() {
        let without_final = problem(StatusCode::CONFLICT, r#"{"code": "coupon-sold-out"}"#);
        let without_claim = problem(StatusCode::CONFLICT, r#"{"code": "coupon-already-claimed"}"#);
        let no_problem = answered(
            StatusCode::CONFLICT,
            "application/json",
            r#"{"code": "campaign-paused"}"#,
        );
        let error = problem(StatusCode::INTERNAL_SERVER_ERROR, r#"{"code": "internal"}"#);
        for answer in [without_final, without_claim, Answer::read(&no_problem), error] {
            assert!(matches!(answer, Answer::Unexpected { .. }), "{answer:?}");
        }
    }

    #[test]
    fn unavailable_has_to_say_when_to_ask_again() {
        let mut busy = answered(
            StatusCode::SERVICE_UNAVAILABLE,
            "application/problem+json",
            r#"{"code": "overloaded"}"#,
        );
        let silent = Answer::read(&busy);
        busy.headers.insert(RETRY_AFTER, HeaderValue::from_static("1"));
        let polite = Answer::read(&busy);
        assert!(matches!(
            silent,
            Answer::Unavailable {
                retry_after: false,
                ..
            }
        ));
        assert!(matches!(
            polite,
            Answer::Unavailable {
                retry_after: true,
                ..
            }
        ));
    }
}
