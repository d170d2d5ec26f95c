//! `Prefer: wait=N` (RFC 7240): the client would rather wait for the outcome.

use std::convert::Infallible;
use std::time::Duration;

use axum::extract::FromRequestParts;
use axum::http::HeaderMap;
use axum::http::request::Parts;

use crate::app::App;

/// The name of the header.
pub const PREFER: &str = "prefer";

/// How long the client would wait, capped; `None` if not at all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wait(pub Option<Duration>);

impl FromRequestParts<App> for Wait {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Infallible> {
        let preferred = preferred(&parts.headers);
        Ok(Self(
            preferred.map(|wait| wait.min(app.config().waiting.wait_max)),
        ))
    }
}

/// The seconds of the first `wait` that can be read; preferences that cannot be read
/// are ignored, as the RFC asks.
fn preferred(headers: &HeaderMap) -> Option<Duration> {
    headers
        .get_all(PREFER)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .filter_map(|preference| preference.split(';').next()?.split_once('='))
        .filter(|(name, _)| name.trim().eq_ignore_ascii_case("wait"))
        .find_map(|(_, seconds)| seconds.trim().trim_matches('"').parse().ok())
        .filter(|seconds: &u32| *seconds > 0)
        .map(|seconds| Duration::from_secs(u64::from(seconds)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::http::HeaderValue;

    #[test]
    fn the_wait_is_found_among_other_preferences() {
        let cases = [
            ("wait=5", Some(5)),
            ("respond-async, Wait = \"7\"; foo", Some(7)),
            ("wait=0", None),
            ("wait=soon", None),
            ("wait", None),
            ("return=minimal", None),
        ];
        for (value, expected) in cases {
            let headers =
                HeaderMap::from_iter([(PREFER.parse().expect("a name"), HeaderValue::from_static(value))]);
            assert_eq!(preferred(&headers), expected.map(Duration::from_secs), "{value}");
        }
    }
}
