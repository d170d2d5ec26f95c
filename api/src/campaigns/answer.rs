//! Campaigns as outsiders see them.

use chrono::{DateTime, Utc};
use headgate_domain::campaigns::{Campaign, CampaignState, Progress};
use headgate_schemas::ids::CampaignId;
use serde::Serialize;
use utoipa::ToSchema;

use super::DiscountBody;

/// A campaign.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Campaign)]
pub struct CampaignBody {
    /// Its id.
    #[schema(value_type = uuid::Uuid)]
    pub campaign_id: CampaignId,
    /// For people.
    #[schema(example = "autumn")]
    pub name: String,
    /// Most coupons.
    #[schema(example = 100)]
    pub quota: u32,
    /// Claims admitted and not released.
    #[schema(example = 0)]
    pub claimed: u64,
    /// Coupons issued.
    #[schema(example = 0)]
    pub issued: u64,
    /// Where it stands now.
    pub state: CampaignStateBody,
    /// When claims begin.
    pub opens_at: DateTime<Utc>,
    /// When claims end.
    pub closes_at: DateTime<Utc>,
    /// What a coupon is worth.
    pub discount: DiscountBody,
    /// Least order amount on which a coupon may be used.
    pub order_amount_min: u64,
    /// How long a coupon is valid from the moment it is issued.
    #[schema(example = 86400)]
    pub coupon_valid_for_seconds: u32,
    /// Whether a user whose claim was released may claim again.
    pub reclaim_allowed: bool,
    /// When it was registered.
    pub created_at: DateTime<Utc>,
    /// When it was last changed.
    pub updated_at: DateTime<Utc>,
    /// When it ended.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ended_at: Option<DateTime<Utc>>,
}

/// Where a campaign stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
#[schema(as = CampaignState)]
pub enum CampaignStateBody {
    /// Not open yet.
    Scheduled,
    /// Takes claims.
    Open,
    /// Takes none until it is resumed.
    Paused,
    /// Takes none any more.
    Ended,
}

impl From<CampaignState> for CampaignStateBody {
    fn from(state: CampaignState) -> Self {
        match state {
            CampaignState::Scheduled => Self::Scheduled,
            CampaignState::Open => Self::Open,
            CampaignState::Paused => Self::Paused,
            CampaignState::Ended => Self::Ended,
        }
    }
}

impl CampaignBody {
    /// The campaign as it stands at `now`.
    pub fn new(campaign: Campaign, progress: Progress, now: DateTime<Utc>) -> Self {
        Self {
            state: campaign.state_at(now).into(),
            campaign_id: campaign.campaign_id,
            name: campaign.name,
            quota: campaign.quota.get(),
            claimed: progress.claimed,
            issued: progress.issued,
            opens_at: campaign.opens_at,
            closes_at: campaign.closes_at,
            discount: campaign.discount.into(),
            order_amount_min: campaign.order_amount_min,
            coupon_valid_for_seconds: campaign.valid_for.get(),
            reclaim_allowed: campaign.reclaim_allowed,
            created_at: campaign.created_at,
            updated_at: campaign.updated_at,
            ended_at: campaign.ended_at,
        }
    }
}

/// A page of campaigns.
#[derive(Debug, Serialize, ToSchema)]
pub struct CampaignPage {
    /// The latest first.
    pub items: Vec<CampaignBody>,
    /// `?cursor=` of the next page; null at the end.
    pub next_cursor: Option<String>,
}
