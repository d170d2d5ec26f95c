//! Thousands of requests that are in flight at once: each on a connection of its own,
//! begun and held back by one byte until all have begun.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use futures::StreamExt;
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use tokio::sync::watch;
use uuid::Uuid;

use super::{Asked, Caller, Connection, Ledger};
use crate::eventually;

/// Connections that are opened at once: below what a listener queues.
const OPENING_MAX: usize = 256;
/// Descriptors that are left for everything else.
const DESCRIPTORS_RESERVED: u64 = 512;
/// Longest time until all requests have begun.
const BEGIN_TIMEOUT: Duration = Duration::from_mins(1);

/// Where requests wait until all have begun.
#[derive(Clone, Debug)]
pub(super) struct Gate {
    waiting: Arc<AtomicUsize>,
    open: watch::Receiver<bool>,
}

impl Gate {
    pub(super) async fn pass(mut self) {
        self.waiting.fetch_add(1, Ordering::SeqCst);
        // An error means that the rush was given up; then nothing matters any more.
        let _given_up = self.open.wait_for(|open| *open).await;
    }
}

/// How many connections this process may open. Raises the soft limit as far as it goes.
pub fn connections_max() -> usize {
    let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE).expect("limits can be read");
    if soft < hard {
        setrlimit(Resource::RLIMIT_NOFILE, hard, hard).expect("the soft limit may go up to the hard one");
    }
    usize::try_from(hard.saturating_sub(DESCRIPTORS_RESERVED)).unwrap_or(usize::MAX)
}

/// Lets every user claim, each on a connection of its own, all requests in flight at
/// once. `while_held` runs when all have begun and none is complete.
///
/// Panics where the machine does not allow as many connections.
pub async fn rush(
    caller: &Caller,
    campaign: Uuid,
    users: &[String],
    while_held: impl AsyncFnOnce(),
) -> Ledger {
    let allowed = connections_max();
    assert!(
        users.len() <= allowed,
        "{} connections are needed, but this machine allows {allowed} (ulimit -n)",
        users.len()
    );
    let connections: Vec<_> = futures::stream::iter(0..users.len())
        .map(|n| async move { Connection::open(&caller.target(n)).await.expect("a connection") })
        .buffered(OPENING_MAX)
        .collect()
        .await;
    let (opener, open) = watch::channel(false);
    let gate = Gate {
        waiting: Arc::default(),
        open,
    };
    let ledger = Ledger::default();
    let requests: Vec<_> = connections
        .into_iter()
        .zip(users.iter().cloned())
        .map(|(mut connection, user)| {
            let (gate, ledger, caller) = (gate.clone(), ledger.clone(), caller.clone());
            tokio::spawn(async move {
                let asked_at = Instant::now();
                let answer = connection.claim_at(gate, caller.api_key(), campaign, &user).await;
                let answered_at = Instant::now();
                ledger.add(Asked {
                    user,
                    asked_at,
                    answered_at,
                    answer,
                });
            })
        })
        .collect();
    eventually("all requests to have begun", BEGIN_TIMEOUT, async || {
        (gate.waiting.load(Ordering::SeqCst) + ledger.len() >= users.len()).then_some(())
    })
    .await;
    while_held().await;
    opener.send(true).expect("the requests wait at the gate");
    for request in requests {
        request.await.expect("a request does not panic");
    }
    ledger
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::Router;
    use axum::body::to_bytes;
    use axum::extract::{Request, State};
    use axum::http::{StatusCode, header};
    use axum::response::IntoResponse;
    use axum::routing::post;

    const USERS: usize = 1_000;
    const BODY_BYTES_MAX: usize = 1_000;

    /// Counts requests that have begun, then sells nothing.
    async fn sold_out(State(begun): State<Arc<AtomicUsize>>, request: Request) -> impl IntoResponse {
        begun.fetch_add(1, Ordering::SeqCst);
        let body = to_bytes(request.into_body(), BODY_BYTES_MAX)
            .await
            .expect("a whole body");
        assert!(body.ends_with(b"}"));
        let problem = r#"{"code": "coupon-sold-out", "final": true}"#;
        (
            StatusCode::CONFLICT,
            [(header::CONTENT_TYPE, "application/problem+json")],
            problem,
        )
    }

    #[tokio::test]
    async fn all_requests_are_in_flight_at_once() {
        let begun = Arc::new(AtomicUsize::new(0));
        let routes = Router::new()
            .route("/v1/campaigns/{id}/claims", post(sold_out))
            .with_state(begun.clone());
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0")
            .await
            .expect("a port");
        let address = listener.local_addr().expect("an address");
        tokio::spawn(async move { axum::serve(listener, routes).await });
        let caller = Caller::new(vec![format!("http://{address}")], "key");
        let ledger = rush(&caller, Uuid::nil(), &crate::client::users(USERS), async || {
            eventually("the server to have all requests", BEGIN_TIMEOUT, async || {
                (begun.load(Ordering::SeqCst) == USERS).then_some(())
            })
            .await;
        })
        .await;
        assert_eq!(ledger.count("409 coupon-sold-out"), USERS);
        assert_eq!(ledger.faults(false), Vec::<String>::new());
    }
}
