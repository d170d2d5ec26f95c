//! Waiting for a claim to be settled.

use std::time::Duration;

use axum::http::HeaderValue;
use axum::response::Response;
use headgate_domain::claims::{Claim, store};
use tokio::time::Instant;

use crate::app::App;

/// What came of waiting.
pub struct Waited {
    /// The claim as it was last read.
    pub claim: Claim,
    /// The wait that was granted; `None`: none, because too many wait already.
    pub preference: Option<Duration>,
}

/// Waits up to `wait` until the claim is issued or released. It is read once at the
/// beginning, after every wake-up, and at the end: a message that got lost costs time,
/// not truth.
pub async fn until_settled(app: &App, claim: Claim, wait: Duration) -> Waited {
    let deadline = Instant::now() + wait;
    let mut claim = claim;
    let Some(waiter) = app.settled().wait_for(claim.claim_id) else {
        return Waited {
            claim,
            preference: None,
        };
    };
    loop {
        let wake_ups = waiter.wake_ups();
        claim = latest(app, claim).await;
        let over = Instant::now() >= deadline || app.stop().is_cancelled();
        if claim.state.is_terminal() || over {
            let preference = Some(wait);
            return Waited { claim, preference };
        }
        tokio::select! {
            () = wake_ups.first() => {}
            () = tokio::time::sleep_until(deadline) => {}
            () = app.stop().cancelled() => {}
        }
    }
}

/// The claim as MySQL has it now; as it was if MySQL does not say.
async fn latest(app: &App, claim: Claim) -> Claim {
    match store::find(app.pool(), claim.claim_id).await {
        Ok(Some(found)) => found,
        Ok(None) => claim,
        Err(error) => {
            tracing::debug!(claim_id = %claim.claim_id, %error, "a claim that is waited for could not be read");
            claim
        }
    }
}

/// Tells the client that its preference was honoured.
pub fn applied(mut response: Response, preference: Option<Duration>) -> Response {
    if let Some(wait) = preference
        && let Ok(value) = HeaderValue::try_from(format!("wait={}", wait.as_secs()))
    {
        response.headers_mut().insert("preference-applied", value);
    }
    response
}
