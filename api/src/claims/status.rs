//! `GET /v1/claims/{id}`.

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use headgate_domain::claims::{Claim, store};
use headgate_schemas::ids::ClaimId;

use super::answer::ClaimBody;
use super::wait::{self, applied};
use crate::app::App;
use crate::keys::{Caller, ClaimsRead};
use crate::problem::{self, Code, Problem};
use crate::request::{Id, OfClaim, Wait};

/// What became of a claim.
///
/// With `Prefer: wait=N` the answer waits up to N seconds until the claim is issued or
/// released.
#[utoipa::path(
    get,
    path = "/v1/claims/{claim_id}",
    tag = "claims",
    operation_id = "get_claim",
    security(("api_key" = ["claims:read"])),
    params(
        ("claim_id" = uuid::Uuid, Path, description = "The claim."),
        ("Prefer" = Option<String>, Header, description = "`wait=N`: wait up to N seconds until it is settled."),
    ),
    responses(
        (status = 200, description = "The claim.", body = ClaimBody),
        (status = 404, description = "`claim-not-found`", body = problem::Body<'static>, content_type = "application/problem+json"),
    )
)]
pub async fn get_claim(
    caller: Caller<ClaimsRead>,
    Id(OfClaim(claim_id)): Id<OfClaim>,
    Wait(wait): Wait,
    State(app): State<App>,
) -> Result<Response, Problem> {
    let claim = claim_of(&app, &caller, claim_id).await?;
    let (claim, preference) = match wait {
        Some(wait) if !claim.state.is_terminal() => {
            let waited = wait::until_settled(&app, claim, wait).await;
            (waited.claim, waited.preference)
        }
        wait => (claim, wait),
    };
    let response = Json(ClaimBody::read(claim)).into_response();
    Ok(applied(response, preference))
}

/// The caller's claim of this id.
pub(super) async fn claim_of(
    app: &App,
    caller: &Caller<ClaimsRead>,
    claim_id: ClaimId,
) -> Result<Claim, Problem> {
    store::find(app.pool(), claim_id)
        .await?
        .filter(|claim| claim.partner_no == caller.partner_no())
        .ok_or_else(|| Problem::new(Code::ClaimNotFound, "nothing has this id"))
}
