//! `POST /v1/campaigns/{id}/claims`: the hot path. The handler finds the campaign in
//! memory, hands the claim to the admitter, and writes its answer out.

use std::sync::Arc;

use axum::extract::State;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use headgate_domain::campaigns::{Campaign, CampaignState};
use headgate_domain::claims::{Claim, ClaimState};
use headgate_runtime::trace;
use headgate_schemas::ids::{CampaignId, ClaimId};
use headgate_schemas::names::UserId;
use serde::Deserialize;
use utoipa::ToSchema;

use super::answer::{ClaimBody, EarlierClaim};
use super::wait::{self, applied};
use crate::admit::ClaimAnswer;
use crate::app::App;
use crate::keys::{Caller, ClaimsWrite};
use crate::problem::{self, Code, Members, Problem};
use crate::request::{Body, Fields, Id, ReadBody, Wait, parsed, text};

/// Who claims.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ClaimRequest {
    /// The partner's own name of the user, 1 to 64 characters.
    #[schema(value_type = String, min_length = 1, max_length = 64, example = "u-1")]
    user_id: UserId,
}

impl ReadBody for ClaimRequest {
    fn read_fast(body: &[u8]) -> Option<Self> {
        serde_json::from_slice(body).ok()
    }

    fn read(fields: &mut Fields) -> Option<Self> {
        let user_id = fields.required("user_id", |value| parsed(UserId::new(text(value)?)))?;
        Some(Self { user_id })
    }
}

/// Claim a coupon for a user.
///
/// First come, first served. 202 means: durable, and entitled to a coupon, which is
/// issued moments later; with `Prefer: wait=N` the answer waits for it up to N seconds.
/// A claim may be repeated without harm: a user has one claim in a campaign.
#[utoipa::path(
    post,
    path = "/v1/campaigns/{campaign_id}/claims",
    tag = "claims",
    operation_id = "claim",
    security(("api_key" = ["claims:write"])),
    params(
        ("campaign_id" = uuid::Uuid, Path, description = "The campaign."),
        ("Prefer" = Option<String>, Header, description = "`wait=N`: wait up to N seconds for the coupon."),
    ),
    request_body = ClaimRequest,
    responses(
        (status = 201, description = "The coupon is issued.", body = ClaimBody, headers(("Location" = String))),
        (status = 202, description = "Admitted; the coupon follows.", body = ClaimBody, headers(("Location" = String))),
        (status = 404, description = "`campaign-not-found`", body = problem::Body<'static>, content_type = "application/problem+json"),
        (status = 409, description = "`coupon-already-claimed`, `coupon-sold-out`, `campaign-not-open`, `campaign-paused`", body = problem::Body<'static>, content_type = "application/problem+json"),
        (status = 410, description = "`campaign-ended`", body = problem::Body<'static>, content_type = "application/problem+json"),
    )
)]
pub async fn claim(
    caller: Caller<ClaimsWrite>,
    Id(campaign_id): Id<CampaignId>,
    Wait(wait): Wait,
    State(app): State<App>,
    Body(request): Body<ClaimRequest>,
) -> Result<Response, Problem> {
    caller.acts_for(&app, &request.user_id).await?;
    let campaign = open_campaign(&app, &caller, campaign_id).await?;
    let answer = app
        .admitter()
        .claim(&campaign, request.user_id, trace::traceparent())
        .await;
    match answer {
        ClaimAnswer::Admitted(claim) => match wait {
            None => admitted(*claim),
            Some(wait) => {
                let waited = wait::until_settled(&app, *claim, wait).await;
                waited_for(waited)
            }
        },
        ClaimAnswer::AlreadyClaimed(claim) => already_claimed(&claim),
        ClaimAnswer::SoldOut { is_final } => Err(sold_out(is_final)),
        ClaimAnswer::Closed => {
            app.campaigns().forget(campaign_id).await;
            open_campaign(&app, &caller, campaign_id).await?;
            // Open again by now: the client may try again at once.
            let detail = "the campaign was closed while the claim was under way";
            Err(Problem::try_again(
                Code::ServiceUnavailable,
                detail,
                problem::RETRY_AFTER,
            ))
        }
        ClaimAnswer::Unavailable { retry_after } => {
            let detail = "the claim could not be decided now; nothing was promised";
            Err(Problem::try_again(Code::ServiceUnavailable, detail, retry_after))
        }
    }
}

/// The caller's campaign, if it takes claims now.
async fn open_campaign(
    app: &App,
    caller: &Caller<ClaimsWrite>,
    campaign_id: CampaignId,
) -> Result<Arc<Campaign>, Problem> {
    let found = app
        .campaigns()
        .find(campaign_id)
        .await
        .map_err(|error| match error.database() {
            Some(cause) => {
                let detail = "the campaign could not be read";
                Problem::try_again(Code::ServiceUnavailable, detail, problem::RETRY_AFTER)
                    .because(cause.to_string())
            }
            None => Problem::internal(error.to_string()),
        })?;
    let campaign = found
        .filter(|campaign| campaign.partner_no == caller.partner_no())
        .ok_or_else(|| Problem::new(Code::CampaignNotFound, "nothing has this id"))?;
    match campaign.state_at(app.clock().now()) {
        CampaignState::Open => Ok(campaign),
        CampaignState::Scheduled => {
            let members = Members {
                opens_at: Some(campaign.opens_at),
                ..Members::default()
            };
            let detail = "the campaign opens later, see opens_at";
            Err(Problem::new(Code::CampaignNotOpen, detail).with(members))
        }
        CampaignState::Paused => Err(Problem::new(
            Code::CampaignPaused,
            "the campaign takes no claims until it is resumed",
        )),
        CampaignState::Ended => Err(Problem::new(
            Code::CampaignEnded,
            "the campaign takes no claims any more",
        )),
    }
}

fn admitted(claim: Claim) -> Result<Response, Problem> {
    answer(StatusCode::ACCEPTED, &ClaimBody::new(claim))
}

fn waited_for(waited: wait::Waited) -> Result<Response, Problem> {
    let status = match waited.claim.state {
        ClaimState::Admitted => StatusCode::ACCEPTED,
        ClaimState::Issued => StatusCode::CREATED,
        // Given up by an operator meanwhile: the answer says so, and why.
        ClaimState::Released => StatusCode::OK,
    };
    let response = answer(status, &ClaimBody::read(waited.claim))?;
    Ok(applied(response, waited.preference))
}

fn answer(status: StatusCode, claim: &ClaimBody) -> Result<Response, Problem> {
    let location = location(claim.claim_id)?;
    let body = serde_json::to_vec(claim).map_err(|error| Problem::internal(error.to_string()))?;
    let mut response = Response::new(body.into());
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(header::LOCATION, location);
    Ok(response)
}

fn location(claim_id: ClaimId) -> Result<HeaderValue, Problem> {
    HeaderValue::try_from(format!("/v1/claims/{claim_id}"))
        .map_err(|error| Problem::internal(error.to_string()))
}

fn already_claimed(claim: &Claim) -> Result<Response, Problem> {
    let problem = Problem::new(
        Code::CouponAlreadyClaimed,
        "the user's claim is in the member claim",
    )
    .with(Members {
        claim: Some(EarlierClaim {
            claim_id: claim.claim_id,
            ticket: claim.ticket.get(),
            state: claim.state,
        }),
        ..Members::default()
    });
    let mut response = problem.into_response();
    response
        .headers_mut()
        .insert(header::LOCATION, location(claim.claim_id)?);
    Ok(response)
}

fn sold_out(is_final: bool) -> Problem {
    let detail = if is_final {
        "every coupon of the quota is promised to somebody else"
    } else {
        "no ticket is left now; one may still come back"
    };
    Problem::new(Code::CouponSoldOut, detail).with(Members {
        is_final: Some(is_final),
        ..Members::default()
    })
}
