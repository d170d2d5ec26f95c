//! `GET /v1/campaigns/{campaign_id}`.

use axum::Json;
use axum::extract::State;
use headgate_domain::campaigns::{AdmissionSource, store};
use headgate_schemas::ids::CampaignId;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{CampaignView, not_found};
use crate::Error;
use crate::auth::{As, Viewer};
use crate::http::extract::Path;
use crate::http::problem::Problem;
use crate::reconcile::{self, Counts, Difference};
use crate::state::Servers;

/// A campaign, its admission state, its counts, and what must not be.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct ShownCampaign {
    /// The campaign.
    #[serde(flatten)]
    pub campaign: CampaignView,
    /// Who hands out tickets, and how far they are.
    pub admission: AdmissionView,
    /// Counted row by row in one snapshot.
    pub counts: Counts,
    /// What must never be; empty when all is well.
    pub differences: Vec<Difference>,
}

/// The admission state of a campaign.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct AdmissionView {
    /// `redis`, or `mysql` while Redis is away.
    pub source: String,
    /// The epoch that MySQL knows; 0 until the first claim.
    pub epoch: u32,
    /// What Redis holds; absent if it holds nothing of the campaign, or does not answer.
    pub redis: Option<RedisView>,
    /// Why Redis could not be asked.
    pub redis_error: Option<String>,
}

/// What Redis holds of a campaign.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct RedisView {
    /// Its epoch.
    pub epoch: u32,
    /// Highest ticket handed out.
    pub ticket_highest: u32,
    /// Returned tickets that wait for the next asker.
    pub tickets_free: u64,
    /// Reservations whose commit was not reported yet.
    pub pending: u64,
}

/// Shows a campaign with its admission state and counts.
#[utoipa::path(
    get, path = "/v1/campaigns/{campaign_id}", tag = "campaigns",
    params(("campaign_id" = Uuid, Path, description = "The campaign")),
    responses((status = 200, body = ShownCampaign), (status = "4XX", body = Problem), (status = 503, body = Problem))
)]
pub async fn show(
    _viewer: As<Viewer>,
    State(servers): State<Servers>,
    Path(campaign_id): Path<CampaignId>,
) -> Result<Json<ShownCampaign>, Error> {
    let now = servers.now().await?;
    let campaign = store::find(&servers.pool, campaign_id)
        .await?
        .ok_or_else(|| not_found(campaign_id))?;
    let (redis, redis_error) = match servers.admission.outstanding(campaign_id).await {
        Ok(state) => (state, None),
        Err(error) => (None, Some(error.to_string())),
    };
    let (counts, differences) = reconcile::of_campaign(&servers, campaign.campaign_no).await?;
    let source = match campaign.admission_source {
        AdmissionSource::Redis => "redis",
        AdmissionSource::Mysql => "mysql",
    };
    Ok(Json(ShownCampaign {
        campaign: CampaignView::at(&campaign, now),
        admission: AdmissionView {
            source: source.to_owned(),
            epoch: campaign.admission_epoch,
            redis: redis.map(|state| RedisView {
                epoch: state.epoch,
                ticket_highest: state.counter,
                tickets_free: state.free,
                pending: state.pending,
            }),
            redis_error,
        },
        counts,
        differences,
    }))
}
