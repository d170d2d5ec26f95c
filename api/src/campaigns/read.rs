//! `GET /v1/campaigns` and `GET /v1/campaigns/{id}`. Always read from MySQL.

use axum::Json;
use axum::extract::State;
use headgate_domain::campaigns::{Campaign, store};
use headgate_schemas::ids::CampaignId;

use super::answer::{CampaignBody, CampaignPage};
use crate::app::App;
use crate::keys::{Caller, CampaignsRead};
use crate::problem::{self, Code, Problem};
use crate::request::{Id, Page};

/// The partner's campaigns, the latest first.
#[utoipa::path(
    get,
    path = "/v1/campaigns",
    tag = "campaigns",
    operation_id = "list_campaigns",
    security(("api_key" = ["campaigns:read"])),
    params(
        ("limit" = Option<u32>, Query, description = "Most items, 1 to 100; 20 unless given."),
        ("cursor" = Option<String>, Query, description = "`next_cursor` of the page before."),
    ),
    responses(
        (status = 200, description = "A page.", body = CampaignPage),
        (status = 400, description = "`invalid-parameter`", body = problem::Body<'static>, content_type = "application/problem+json"),
    )
)]
pub async fn list_campaigns(
    caller: Caller<CampaignsRead>,
    page: Page<CampaignId>,
    State(app): State<App>,
) -> Result<Json<CampaignPage>, Problem> {
    let found = store::list(app.pool(), caller.partner_no(), page.after, page.limit).await?;
    let found = found.ok_or_else(|| Problem::parameter("cursor", "must be a next_cursor of this list"))?;
    let mut items = Vec::with_capacity(found.items.len());
    for campaign in found.items {
        items.push(described(&app, campaign).await?);
    }
    Ok(Json(CampaignPage {
        items,
        next_cursor: found.next.map(|id| id.to_string()),
    }))
}

/// A campaign.
#[utoipa::path(
    get,
    path = "/v1/campaigns/{campaign_id}",
    tag = "campaigns",
    operation_id = "get_campaign",
    security(("api_key" = ["campaigns:read"])),
    params(("campaign_id" = uuid::Uuid, Path, description = "The campaign.")),
    responses(
        (status = 200, description = "The campaign.", body = CampaignBody),
        (status = 404, description = "`campaign-not-found`", body = problem::Body<'static>, content_type = "application/problem+json"),
    )
)]
pub async fn get_campaign(
    caller: Caller<CampaignsRead>,
    Id(campaign_id): Id<CampaignId>,
    State(app): State<App>,
) -> Result<Json<CampaignBody>, Problem> {
    let campaign = store::find_of_partner(app.pool(), caller.partner_no(), campaign_id)
        .await?
        .ok_or_else(|| Problem::new(Code::CampaignNotFound, "nothing has this id"))?;
    described(&app, campaign).await.map(Json)
}

/// The campaign with how far it has got.
pub(super) async fn described(app: &App, campaign: Campaign) -> Result<CampaignBody, Problem> {
    let progress = store::progress(app.pool(), &campaign).await?;
    Ok(CampaignBody::new(campaign, progress, app.clock().now()))
}
