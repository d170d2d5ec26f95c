//! Campaigns of all partners: look, pause, resume, end.

pub mod acts;
pub mod show;

use axum::Json;
use axum::extract::State;
use chrono::{DateTime, Utc};
use headgate_domain::campaigns::{Campaign, store};
use headgate_schemas::ids::{CampaignId, PartnerId};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use crate::auth::{As, Viewer};
use crate::http::extract::{Query, page_rows};
use crate::http::problem::Problem;
use crate::state::Servers;
use crate::{Error, Thing};

/// A campaign.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct CampaignView {
    /// The campaign.
    #[schema(value_type = Uuid)]
    pub campaign_id: CampaignId,
    /// Whose it is.
    #[schema(value_type = Uuid)]
    pub partner_id: PartnerId,
    /// For people.
    pub name: String,
    /// `scheduled`, `open`, `paused` or `ended`, at this moment.
    pub state: String,
    /// Most coupons.
    pub quota: u32,
    /// When claims begin.
    pub opens_at: DateTime<Utc>,
    /// When claims end.
    pub closes_at: DateTime<Utc>,
    /// When it was registered.
    pub created_at: DateTime<Utc>,
    /// When it ended.
    pub ended_at: Option<DateTime<Utc>>,
}

impl CampaignView {
    fn at(campaign: &Campaign, now: DateTime<Utc>) -> Self {
        Self {
            campaign_id: campaign.campaign_id,
            partner_id: campaign.partner_id,
            name: campaign.name.clone(),
            state: campaign.state_at(now).as_str().to_owned(),
            quota: campaign.quota.get(),
            opens_at: campaign.opens_at,
            closes_at: campaign.closes_at,
            created_at: campaign.created_at,
            ended_at: campaign.ended_at,
        }
    }
}

/// A campaign and how far it has got.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct ListedCampaign {
    /// The campaign.
    #[serde(flatten)]
    pub campaign: CampaignView,
    /// Claims admitted and not released.
    pub claimed: u64,
    /// Coupons issued.
    pub issued: u64,
}

/// Campaigns.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct Campaigns {
    /// The latest first.
    pub items: Vec<ListedCampaign>,
}

/// How many campaigns.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct Most {
    /// Most campaigns, 1 to 500.
    limit: Option<u32>,
}

/// Lists the latest campaigns of all partners.
#[utoipa::path(
    get, path = "/v1/campaigns", tag = "campaigns", params(Most),
    responses((status = 200, body = Campaigns), (status = "4XX", body = Problem), (status = 503, body = Problem))
)]
pub async fn list(
    _viewer: As<Viewer>,
    State(servers): State<Servers>,
    Query(most): Query<Most>,
) -> Result<Json<Campaigns>, Error> {
    let now = servers.now().await?;
    let mut items = Vec::new();
    for campaign in store::list_of_all(&servers.pool, page_rows(most.limit)?).await? {
        let progress = store::progress(&servers.pool, &campaign).await?;
        items.push(ListedCampaign {
            campaign: CampaignView::at(&campaign, now),
            claimed: progress.claimed,
            issued: progress.issued,
        });
    }
    Ok(Json(Campaigns { items }))
}

fn not_found(campaign_id: CampaignId) -> Error {
    Error::NotFound {
        what: Thing::Campaign,
        id: campaign_id.to_string(),
    }
}
