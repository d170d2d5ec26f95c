//! What an endpoint made of a delivery.

use std::time::Duration;

use chrono::{DateTime, Utc};
use reqwest::StatusCode;
use reqwest::header::{HeaderMap, RETRY_AFTER};

/// What an endpoint made of a delivery.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// It has it.
    Delivered,
    /// It does not, or nobody knows.
    Failed {
        /// Why. Nothing of what the endpoint said: it is shown to whoever chose the URL.
        error: String,
        /// For how long it asked to be left alone.
        retry_after: Option<Duration>,
    },
    /// It wants nothing any more.
    Gone,
}

impl Outcome {
    /// One that failed without an answer.
    pub(crate) fn failed(error: String) -> Self {
        Self::Failed {
            error,
            retry_after: None,
        }
    }

    /// What an answer says.
    pub(crate) fn of_answer(status: StatusCode, headers: &HeaderMap, now: DateTime<Utc>) -> Self {
        if status.is_success() {
            return Self::Delivered;
        }
        if status == StatusCode::GONE {
            return Self::Gone;
        }
        let waits = matches!(
            status,
            StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE
        );
        Self::Failed {
            error: format!("the endpoint answered {status}"),
            retry_after: retry_after(headers, now).filter(|_| waits),
        }
    }

    /// Its name in metrics.
    pub(crate) const fn name(&self) -> &'static str {
        match self {
            Self::Delivered => "delivered",
            Self::Failed { .. } => "failed",
            Self::Gone => "gone",
        }
    }
}

/// Seconds, or a date: <https://www.rfc-editor.org/rfc/rfc9110#section-10.2.3>.
fn retry_after(headers: &HeaderMap, now: DateTime<Utc>) -> Option<Duration> {
    let text = headers.get(RETRY_AFTER)?.to_str().ok()?;
    if let Ok(seconds) = text.parse() {
        return Some(Duration::from_secs(seconds));
    }
    let until = DateTime::parse_from_rfc2822(text).ok()?;
    Some((until.to_utc() - now).to_std().unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outcome(status: u16, retry_after: &str) -> Outcome {
        let mut headers = HeaderMap::new();
        headers.insert(RETRY_AFTER, retry_after.parse().expect("a value"));
        let now = "1994-11-06T08:49:30Z".parse().expect("a time");
        Outcome::of_answer(StatusCode::from_u16(status).expect("a status"), &headers, now)
    }

    fn asked(outcome: Outcome) -> Option<Duration> {
        match outcome {
            Outcome::Failed { retry_after, .. } => retry_after,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn an_answer_says_what_became_of_it() {
        assert_eq!(outcome(204, "1"), Outcome::Delivered);
        assert_eq!(outcome(410, "1"), Outcome::Gone);
        assert_eq!(asked(outcome(500, "7")), None, "it did not ask to be left alone");
        assert_eq!(asked(outcome(302, "7")), None, "nobody is followed anywhere");
        assert_eq!(asked(outcome(429, "7")), Some(Duration::from_secs(7)));
        let date = "Sun, 06 Nov 1994 08:49:37 GMT";
        assert_eq!(asked(outcome(503, date)), Some(Duration::from_secs(7)));
        assert_eq!(asked(outcome(503, "soon")), None);
    }
}
