//! How fast a replay goes, as requests say it.

use headgate_dead_letters::replay::Pace;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::Error;
use crate::config;
use crate::http::problem::FieldError;

/// How fast a replay goes, and what stops it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PaceAsked {
    /// Most letters a second.
    #[schema(minimum = 1)]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rate_per_second: Option<u32>,
    /// So many letters go first; then it pauses to be looked at. 0: none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub canary_letters: Option<u32>,
    /// It pauses when more than so many per cent of the last 100 letters failed; fewer than 10
    /// are judged as if they were 10. 0: at the first failure. 100: never.
    #[schema(maximum = 100)]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failures_percent_max: Option<u8>,
}

impl PaceAsked {
    /// The pace of a new replay.
    pub(super) fn or_usual(self, usual: &config::Replay) -> Result<Pace, Error> {
        self.or(
            Pace {
                rate_per_second: usual.rate_per_second,
                canary_letters: usual.canary_letters,
                failures_percent_max: usual.failures_percent_max,
            },
            usual,
        )
    }

    /// `pace`, but for what was asked for.
    pub(super) fn or(self, pace: Pace, limits: &config::Replay) -> Result<Pace, Error> {
        let pace = Pace {
            rate_per_second: self.rate_per_second.unwrap_or(pace.rate_per_second),
            canary_letters: self.canary_letters.unwrap_or(pace.canary_letters),
            failures_percent_max: self.failures_percent_max.unwrap_or(pace.failures_percent_max),
        };
        let mut wrong = Vec::new();
        let rate_max = limits.rate_per_second_max;
        if !(1..=rate_max).contains(&pace.rate_per_second) {
            let detail = format!("must lie between 1 and {rate_max}");
            wrong.push(FieldError::new("rate_per_second", detail));
        }
        if pace.failures_percent_max > 100 {
            wrong.push(FieldError::new(
                "failures_percent_max",
                "must lie between 0 and 100",
            ));
        }
        if wrong.is_empty() {
            Ok(pace)
        } else {
            Err(Error::InvalidBody(wrong))
        }
    }

    /// Whether it asks for anything.
    pub(super) fn is_empty(self) -> bool {
        self == Self::default()
    }
}
