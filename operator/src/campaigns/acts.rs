//! Pausing, resuming and ending a campaign on its partner's behalf.

use axum::Json;
use axum::extract::State;
use headgate_domain::Change;
use headgate_domain::campaigns::store::{self, Locked};
use headgate_outbox::audit;
use headgate_runtime::telemetry;
use headgate_schemas::ids::CampaignId;
use serde_json::json;
use sqlx::{MySql, Transaction};

use super::{CampaignView, not_found};
use crate::Error;
use crate::auth::{Acting, As};
use crate::http::extract::Path;
use crate::http::problem::Problem;
use crate::state::Servers;
use crate::transaction::conclude;

/// What is done to a campaign.
#[derive(Clone, Copy, Debug)]
enum Act {
    Pause,
    Resume,
    End,
}

impl Act {
    const fn audited_as(self) -> &'static str {
        match self {
            Self::Pause => "campaign.pause",
            Self::Resume => "campaign.resume",
            Self::End => "campaign.end",
        }
    }

    async fn apply(
        self,
        transaction: &mut Transaction<'_, MySql>,
        change: Change<'_>,
        locked: &mut Locked,
    ) -> Result<(), headgate_domain::Error> {
        match self {
            Self::Pause => store::pause(transaction, change, locked).await,
            Self::Resume => store::resume(transaction, change, locked).await,
            Self::End => store::end(transaction, change, locked).await,
        }
    }
}

/// Pauses a campaign: it takes no claims until it is resumed.
#[utoipa::path(
    post, path = "/v1/campaigns/{campaign_id}/pause", tag = "campaigns",
    params(("campaign_id" = Uuid, Path, description = "The campaign")),
    responses((status = 200, body = CampaignView), (status = "4XX", body = Problem), (status = 503, body = Problem))
)]
pub async fn pause(
    acting: As<Acting>,
    State(servers): State<Servers>,
    Path(campaign_id): Path<CampaignId>,
) -> Result<Json<CampaignView>, Error> {
    act(&servers, campaign_id, Act::Pause, &acting.operator.name).await
}

/// Resumes a paused campaign.
#[utoipa::path(
    post, path = "/v1/campaigns/{campaign_id}/resume", tag = "campaigns",
    params(("campaign_id" = Uuid, Path, description = "The campaign")),
    responses((status = 200, body = CampaignView), (status = "4XX", body = Problem), (status = 503, body = Problem))
)]
pub async fn resume(
    acting: As<Acting>,
    State(servers): State<Servers>,
    Path(campaign_id): Path<CampaignId>,
) -> Result<Json<CampaignView>, Error> {
    act(&servers, campaign_id, Act::Resume, &acting.operator.name).await
}

/// Ends a campaign: it takes no claims any more. Admitted claims become coupons all the
/// same.
#[utoipa::path(
    post, path = "/v1/campaigns/{campaign_id}/end", tag = "campaigns",
    params(("campaign_id" = Uuid, Path, description = "The campaign")),
    responses((status = 200, body = CampaignView), (status = "4XX", body = Problem), (status = 503, body = Problem))
)]
pub async fn end(
    acting: As<Acting>,
    State(servers): State<Servers>,
    Path(campaign_id): Path<CampaignId>,
) -> Result<Json<CampaignView>, Error> {
    act(&servers, campaign_id, Act::End, &acting.operator.name).await
}

async fn act(
    servers: &Servers,
    campaign_id: CampaignId,
    act: Act,
    actor: &str,
) -> Result<Json<CampaignView>, Error> {
    let traceparent = telemetry::current_traceparent();
    let change = Change {
        writer: servers.writer().await?,
        now: servers.now().await?,
        traceparent: traceparent.as_deref(),
    };
    let mut transaction = servers.pool.begin().await?;
    let changed = change_locked(&mut transaction, change, campaign_id, act, actor).await;
    let campaign = conclude(transaction, changed).await?;
    servers.waker.wake();
    tracing::info!(%campaign_id, act = act.audited_as(), operator = actor, "campaign changed");
    Ok(Json(campaign))
}

async fn change_locked(
    transaction: &mut Transaction<'_, MySql>,
    change: Change<'_>,
    campaign_id: CampaignId,
    act: Act,
    actor: &str,
) -> Result<CampaignView, Error> {
    let mut locked = store::lock(transaction, campaign_id)
        .await?
        .ok_or_else(|| not_found(campaign_id))?;
    let before = locked.campaign().state_at(change.now);
    act.apply(transaction, change, &mut locked).await?;
    let campaign = locked.into_campaign();
    let after = campaign.state_at(change.now);
    let detail = json!({"name": campaign.name, "from": before.as_str(), "to": after.as_str()});
    audit::record(
        transaction,
        actor,
        act.audited_as(),
        &campaign_id.to_string(),
        &detail,
    )
    .await?;
    Ok(CampaignView::at(&campaign, change.now))
}
