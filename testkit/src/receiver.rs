//! A partner's endpoint: an HTTP server that keeps what it is sent, and answers as it is told.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use parking_lot::Mutex;
use tokio::net::TcpListener;

/// Most requests that are kept.
const REQUESTS_MAX: usize = 10_000;

/// A request that came.
#[derive(Clone, Debug)]
pub struct Received {
    /// Path and query.
    pub path: String,
    /// Headers that are text, by their names in small letters.
    pub headers: HashMap<String, String>,
    /// Its body.
    pub body: Vec<u8>,
}

impl Received {
    /// A header; empty if it is not there.
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", String::as_str)
    }

    /// Its body, read as JSON.
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).expect("the body is JSON")
    }
}

/// How requests are answered.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Answers {
    /// 204.
    #[default]
    Well,
    /// With this status, and this `Retry-After`.
    With(u16, Option<String>),
    /// Never: the connection stays open.
    Never,
    /// With a redirection to this URL.
    Elsewhere(String),
}

#[derive(Debug, Default)]
struct Kept {
    received: Vec<Received>,
    answers: Answers,
}

/// The endpoint. It serves as long as the test's runtime lives.
#[derive(Clone, Debug)]
pub struct Receiver {
    address: SocketAddr,
    kept: Arc<Mutex<Kept>>,
}

impl Receiver {
    /// Listens on a free port, and answers well.
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port is free");
        let address = listener.local_addr().expect("a bound listener has an address");
        let kept = Arc::new(Mutex::new(Kept::default()));
        let routes = Router::new().fallback(receive).with_state(kept.clone());
        tokio::spawn(async move { axum::serve(listener, routes).await });
        Self { address, kept }
    }

    /// Where it is, with a path.
    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// Its port.
    pub const fn port(&self) -> u16 {
        self.address.port()
    }

    /// Answers so from now on.
    pub fn answer(&self, answers: Answers) {
        self.kept.lock().answers = answers;
    }

    /// What came, in its order.
    pub fn received(&self) -> Vec<Received> {
        self.kept.lock().received.clone()
    }

    /// How many came.
    pub fn count(&self) -> usize {
        self.kept.lock().received.len()
    }
}

async fn receive(
    State(kept): State<Arc<Mutex<Kept>>>,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let text = |(name, value): (&axum::http::HeaderName, &axum::http::HeaderValue)| {
        Some((name.as_str().to_owned(), value.to_str().ok()?.to_owned()))
    };
    let received = Received {
        path: uri.to_string(),
        headers: headers.iter().filter_map(text).collect(),
        body: body.to_vec(),
    };
    let answers = {
        let mut kept = kept.lock();
        assert!(kept.received.len() < REQUESTS_MAX, "an endpoint is flooded");
        kept.received.push(received);
        kept.answers.clone()
    };
    match answers {
        Answers::Well => StatusCode::NO_CONTENT.into_response(),
        Answers::With(status, retry_after) => {
            let status = StatusCode::from_u16(status).expect("a status");
            let mut answer = status.into_response();
            if let Some(after) = retry_after {
                let after = after.parse().expect("a header's value");
                answer.headers_mut().insert("retry-after", after);
            }
            answer
        }
        Answers::Never => std::future::pending().await,
        Answers::Elsewhere(url) => (StatusCode::TEMPORARY_REDIRECT, [("location", url)]).into_response(),
    }
}
