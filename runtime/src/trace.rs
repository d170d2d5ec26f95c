//! The trace of a request: taken over from the client, or begun here.

use std::sync::Arc;

use axum::http::HeaderMap;
use headgate_schemas::headers::TRACEPARENT;

use crate::telemetry;

/// Length of a `traceparent` of version 00.
const TRACEPARENT_BYTES: usize = 55;
/// Hex digits of a trace id, and where they stand.
const TRACE_ID: std::ops::Range<usize> = 3..35;

tokio::task_local! {
    /// What the client sent, while this process records no traces of its own.
    static INCOMING: Option<Arc<str>>;
}

/// The client's `traceparent`, if it is one.
/// <https://www.w3.org/TR/trace-context/#traceparent-header>
pub fn incoming(headers: &HeaderMap) -> Option<&str> {
    let text = headers.get(TRACEPARENT)?.to_str().ok()?;
    let well_formed = text.len() == TRACEPARENT_BYTES
        && text.starts_with("00-")
        && text.bytes().enumerate().all(|(place, byte)| match place {
            2 | 35 | 52 => byte == b'-',
            _ => matches!(byte, b'0'..=b'9' | b'a'..=b'f'),
        })
        && text[TRACE_ID].bytes().any(|digit| digit != b'0');
    well_formed.then_some(text)
}

/// Runs a request whose client sent `traceparent`.
pub async fn within<F: Future>(traceparent: Option<Arc<str>>, request: F) -> F::Output {
    INCOMING.scope(traceparent, request).await
}

/// What travels with an event: our span, or else the client's.
pub fn traceparent() -> Option<String> {
    telemetry::current_traceparent().or_else(|| {
        let incoming = INCOMING.try_with(Clone::clone).ok().flatten();
        incoming.map(|text| text.to_string())
    })
}

/// The trace id for an error answer: of our span, or the client's, or a new one.
pub fn trace_id() -> String {
    let known = traceparent().and_then(|text| text.get(TRACE_ID).map(str::to_owned));
    known.unwrap_or_else(|| uuid::Uuid::now_v7().simple().to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::http::HeaderValue;

    #[test]
    fn only_a_traceparent_is_taken_over() {
        let good = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
        let cases = [
            (good, true),
            ("00-00000000000000000000000000000000-b7ad6b7169203331-01", false),
            ("00-0AF7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", false),
            ("01-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", false),
            ("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331", false),
            ("", false),
        ];
        for (text, taken) in cases {
            let headers = HeaderMap::from_iter([(
                TRACEPARENT.parse().expect("a name"),
                HeaderValue::from_static(text),
            )]);
            assert_eq!(incoming(&headers).is_some(), taken, "{text}");
        }
    }
}
