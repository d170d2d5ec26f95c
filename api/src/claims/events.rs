//! `GET /v1/claims/{id}/events`: the claim's states as they come, as server-sent events.

use std::convert::Infallible;
use std::time::Duration;

use axum::extract::State;
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use futures::stream;
use headgate_domain::claims::{Claim, ClaimState, store};
use tokio::time::Instant;

use super::answer::ClaimBody;
use super::settled::Waiter;
use super::status::claim_of;
use crate::app::App;
use crate::keys::{Caller, ClaimsRead};
use crate::problem::{self, Code, Problem, RETRY_AFTER};
use crate::request::{Id, OfClaim};

/// How often a silent stream shows that it lives.
const KEEP_ALIVE: Duration = Duration::from_secs(15);

/// The states of a claim, as they come.
///
/// Server-sent events named by the state, the claim as data: the present state first.
/// The stream ends after `issued` or `released`, and otherwise after a minute: connect
/// again then.
#[utoipa::path(
    get,
    path = "/v1/claims/{claim_id}/events",
    tag = "claims",
    operation_id = "claim_events",
    security(("api_key" = ["claims:read"])),
    params(("claim_id" = uuid::Uuid, Path, description = "The claim.")),
    responses(
        (status = 200, description = "A stream of events.", body = String, content_type = "text/event-stream"),
        (status = 404, description = "`claim-not-found`", body = problem::Body<'static>, content_type = "application/problem+json"),
        (status = 503, description = "`overloaded`: too many wait already", body = problem::Body<'static>, content_type = "application/problem+json"),
    )
)]
pub async fn claim_events(
    caller: Caller<ClaimsRead>,
    Id(OfClaim(claim_id)): Id<OfClaim>,
    State(app): State<App>,
) -> Result<Response, Problem> {
    let claim = claim_of(&app, &caller, claim_id).await?;
    let waiter = app.settled().wait_for(claim_id).ok_or_else(|| {
        let detail = "too many wait for claims already; ask for the claim instead";
        Problem::try_again(Code::Overloaded, detail, RETRY_AFTER)
    })?;
    let deadline = Instant::now() + app.config().waiting.stream_max;
    let watch = Watch {
        app,
        claim,
        waiter,
        told: None,
        deadline,
    };
    let events = stream::unfold(watch, |mut watch| async {
        let event = watch.next().await?;
        Some((Ok::<_, Infallible>(event), watch))
    });
    Ok(Sse::new(events)
        .keep_alive(KeepAlive::new().interval(KEEP_ALIVE))
        .into_response())
}

/// A stream under way.
struct Watch {
    app: App,
    claim: Claim,
    waiter: Waiter,
    /// The state that was told last.
    told: Option<ClaimState>,
    deadline: Instant,
}

impl Watch {
    /// The next state; `None` when there is nothing more to wait for.
    async fn next(&mut self) -> Option<Event> {
        if self.told.is_some_and(ClaimState::is_terminal) {
            return None;
        }
        loop {
            let wake_ups = self.waiter.wake_ups();
            // Read after that: what is announced from here on wakes.
            match store::find(self.app.pool(), self.claim.claim_id).await {
                Ok(Some(claim)) => self.claim = claim,
                Ok(None) => {}
                Err(error) => tracing::debug!(%error, "a claim that is watched could not be read"),
            }
            if self.told != Some(self.claim.state) {
                self.told = Some(self.claim.state);
                return event(&self.claim);
            }
            if Instant::now() >= self.deadline || self.app.stop().is_cancelled() {
                return None;
            }
            tokio::select! {
                () = wake_ups.first() => {}
                () = tokio::time::sleep_until(self.deadline) => {}
                () = self.app.stop().cancelled() => {}
            }
        }
    }
}

fn event(claim: &Claim) -> Option<Event> {
    let name = match claim.state {
        ClaimState::Admitted => "admitted",
        ClaimState::Issued => "issued",
        ClaimState::Released => "released",
    };
    Event::default()
        .event(name)
        .json_data(ClaimBody::read(claim.clone()))
        .ok()
}
