//! Registering and changing campaigns. Each change is one transaction with its event.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use headgate_domain::campaigns::{Campaign, NewCampaign, Progress, store};
use headgate_domain::{Change, Error};
use headgate_schemas::ids::{CampaignId, PartnerId};
use sqlx::{MySql, Transaction};

use super::answer::CampaignBody;
use super::read::described;
use super::request::{ChangeCampaign, RegisterCampaign};
use crate::app::App;
use crate::idempotency::{Answer, KeyHeader, Keyed, once};
use crate::keys::{Caller, CampaignsWrite};
use crate::problem::{self, Code, Problem};
use crate::request::{Body, Id, Nothing};
use crate::transaction::{Work, commit};

/// Register a campaign.
///
/// It opens by itself at `opens_at`, at once if that has passed, and ends at `closes_at`.
/// With an `Idempotency-Key` the request may be sent again without a second campaign.
#[utoipa::path(
    post,
    path = "/v1/campaigns",
    tag = "campaigns",
    operation_id = "register_campaign",
    security(("api_key" = ["campaigns:write"])),
    params(KeyHeader),
    request_body = RegisterCampaign,
    responses(
        (status = 201, description = "Registered, now or before under the same key.", body = CampaignBody,
            headers(("Location" = String), ("Idempotency-Replayed" = bool, description = "`true` on an answer that was given before."))),
        (status = 400, description = "`malformed-body`, `invalid-parameter`", body = problem::Body<'static>, content_type = "application/problem+json"),
        (status = 409, description = "`idempotency-in-progress`", body = problem::Body<'static>, content_type = "application/problem+json", headers(("Retry-After" = u32))),
        (status = 422, description = "`invalid-body`, `idempotency-key-reused`", body = problem::Body<'static>, content_type = "application/problem+json"),
    )
)]
pub async fn register_campaign(
    caller: Caller<CampaignsWrite>,
    State(app): State<App>,
    request: Keyed<NewCampaign>,
) -> Result<Response, Problem> {
    let work = |new| Register {
        partner_no: caller.partner_no(),
        partner_id: caller.principal().partner_id,
        new,
    };
    once(&app, caller.principal(), request, work, |campaign| {
        let location = format!("/v1/campaigns/{}", campaign.campaign_id);
        let body = CampaignBody::new(campaign, Progress::default(), app.clock().now());
        Ok(Answer::json(StatusCode::CREATED, &body)?.at(location))
    })
    .await
}

/// Raise the quota, or give another name.
///
/// The quota may only go up. Both are changed together or not at all.
#[utoipa::path(
    patch,
    path = "/v1/campaigns/{campaign_id}",
    tag = "campaigns",
    operation_id = "change_campaign",
    security(("api_key" = ["campaigns:write"])),
    params(("campaign_id" = uuid::Uuid, Path, description = "The campaign.")),
    request_body = ChangeCampaign,
    responses(
        (status = 200, description = "The campaign as it is now.", body = CampaignBody),
        (status = 404, description = "`campaign-not-found`", body = problem::Body<'static>, content_type = "application/problem+json"),
        (status = 409, description = "`quota-lowered`", body = problem::Body<'static>, content_type = "application/problem+json"),
        (status = 410, description = "`campaign-ended`", body = problem::Body<'static>, content_type = "application/problem+json"),
        (status = 422, description = "`invalid-body`", body = problem::Body<'static>, content_type = "application/problem+json"),
    )
)]
pub async fn change_campaign(
    caller: Caller<CampaignsWrite>,
    Id(campaign_id): Id<CampaignId>,
    State(app): State<App>,
    Body(wanted): Body<ChangeCampaign>,
) -> Result<Json<CampaignBody>, Problem> {
    changed(&app, &caller, campaign_id, What::Values(wanted)).await
}

/// Pause a campaign: it takes no claims until it is resumed.
#[utoipa::path(
    post,
    path = "/v1/campaigns/{campaign_id}/pause",
    tag = "campaigns",
    operation_id = "pause_campaign",
    security(("api_key" = ["campaigns:write"])),
    params(("campaign_id" = uuid::Uuid, Path, description = "The campaign.")),
    responses(
        (status = 200, description = "Paused, now or before.", body = CampaignBody),
        (status = 404, description = "`campaign-not-found`", body = problem::Body<'static>, content_type = "application/problem+json"),
        (status = 409, description = "`campaign-not-open`", body = problem::Body<'static>, content_type = "application/problem+json"),
        (status = 410, description = "`campaign-ended`", body = problem::Body<'static>, content_type = "application/problem+json"),
    )
)]
pub async fn pause_campaign(
    caller: Caller<CampaignsWrite>,
    Id(campaign_id): Id<CampaignId>,
    State(app): State<App>,
    Body(Nothing): Body<Nothing>,
) -> Result<Json<CampaignBody>, Problem> {
    changed(&app, &caller, campaign_id, What::Pause).await
}

/// Resume a paused campaign.
#[utoipa::path(
    post,
    path = "/v1/campaigns/{campaign_id}/resume",
    tag = "campaigns",
    operation_id = "resume_campaign",
    security(("api_key" = ["campaigns:write"])),
    params(("campaign_id" = uuid::Uuid, Path, description = "The campaign.")),
    responses(
        (status = 200, description = "Open, now or before.", body = CampaignBody),
        (status = 404, description = "`campaign-not-found`", body = problem::Body<'static>, content_type = "application/problem+json"),
        (status = 409, description = "`campaign-not-open`", body = problem::Body<'static>, content_type = "application/problem+json"),
        (status = 410, description = "`campaign-ended`", body = problem::Body<'static>, content_type = "application/problem+json"),
    )
)]
pub async fn resume_campaign(
    caller: Caller<CampaignsWrite>,
    Id(campaign_id): Id<CampaignId>,
    State(app): State<App>,
    Body(Nothing): Body<Nothing>,
) -> Result<Json<CampaignBody>, Problem> {
    changed(&app, &caller, campaign_id, What::Resume).await
}

/// End a campaign before its time.
#[utoipa::path(
    post,
    path = "/v1/campaigns/{campaign_id}/end",
    tag = "campaigns",
    operation_id = "end_campaign",
    security(("api_key" = ["campaigns:write"])),
    params(("campaign_id" = uuid::Uuid, Path, description = "The campaign.")),
    responses(
        (status = 200, description = "Ended, now or before.", body = CampaignBody),
        (status = 404, description = "`campaign-not-found`", body = problem::Body<'static>, content_type = "application/problem+json"),
    )
)]
pub async fn end_campaign(
    caller: Caller<CampaignsWrite>,
    Id(campaign_id): Id<CampaignId>,
    State(app): State<App>,
    Body(Nothing): Body<Nothing>,
) -> Result<Json<CampaignBody>, Problem> {
    changed(&app, &caller, campaign_id, What::End).await
}

/// Changes the caller's campaign, and answers it as it is then.
async fn changed(
    app: &App,
    caller: &Caller<CampaignsWrite>,
    campaign_id: CampaignId,
    what: What,
) -> Result<Json<CampaignBody>, Problem> {
    let work = ChangeLocked {
        partner_no: caller.partner_no(),
        campaign_id,
        what,
    };
    let changed = commit(app, &work).await?;
    app.campaigns().forget(campaign_id).await;
    let campaign = changed.ok_or_else(|| Problem::new(Code::CampaignNotFound, "nothing has this id"))?;
    described(app, campaign).await.map(Json)
}

struct Register {
    partner_no: u32,
    partner_id: PartnerId,
    new: NewCampaign,
}

impl Work for Register {
    type Done = Campaign;
    type Prepared = ();

    async fn prepare(&self, _app: &App) -> Result<(), Error> {
        Ok(())
    }

    async fn run(
        &self,
        transaction: &mut Transaction<'_, MySql>,
        change: Change<'_>,
        (): &(),
    ) -> Result<Campaign, Error> {
        store::insert(
            transaction,
            change,
            self.partner_no,
            self.partner_id,
            self.new.clone(),
        )
        .await
    }
}

/// What is done with a campaign.
enum What {
    Values(ChangeCampaign),
    Pause,
    Resume,
    End,
}

struct ChangeLocked {
    partner_no: u32,
    campaign_id: CampaignId,
    what: What,
}

impl Work for ChangeLocked {
    /// `None` if the partner has no such campaign.
    type Done = Option<Campaign>;
    type Prepared = ();

    async fn prepare(&self, _app: &App) -> Result<(), Error> {
        Ok(())
    }

    async fn run(
        &self,
        transaction: &mut Transaction<'_, MySql>,
        change: Change<'_>,
        (): &(),
    ) -> Result<Option<Campaign>, Error> {
        let found = store::lock(transaction, self.campaign_id).await?;
        let own = found.filter(|locked| locked.campaign().partner_no == self.partner_no);
        let Some(mut locked) = own else {
            return Ok(None);
        };
        match &self.what {
            What::Values(wanted) => {
                if let Some(name) = wanted.name.clone() {
                    store::rename(transaction, change, &mut locked, name).await?;
                }
                if let Some(quota) = wanted.quota {
                    store::raise_quota(transaction, change, &mut locked, quota).await?;
                }
            }
            What::Pause => store::pause(transaction, change, &mut locked).await?,
            What::Resume => store::resume(transaction, change, &mut locked).await?,
            What::End => store::end(transaction, change, &mut locked).await?,
        }
        Ok(Some(locked.into_campaign()))
    }
}
