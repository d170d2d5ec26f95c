//! Claims as outsiders see them.

use chrono::{DateTime, Utc};
use headgate_domain::claims::{Claim, ClaimState};
use headgate_schemas::ids::{CampaignId, ClaimId};
use headgate_schemas::names::UserId;
use serde::Serialize;
use utoipa::ToSchema;

/// Where a claim stands.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
#[schema(as = ClaimState)]
#[expect(dead_code, reason = "describes the domain's own enum to OpenAPI")]
pub enum ClaimStateSchema {
    /// Durable, entitled to a coupon.
    Admitted,
    /// The coupon exists.
    Issued,
    /// Given up; ticket and user are free again.
    Released,
}

/// A claim.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = Claim)]
pub struct ClaimBody {
    /// The claim, and later the coupon.
    #[schema(value_type = uuid::Uuid)]
    pub claim_id: ClaimId,
    /// Its campaign.
    #[schema(value_type = uuid::Uuid)]
    pub campaign_id: CampaignId,
    /// The partner's own name of the user.
    #[schema(value_type = String, example = "u-1")]
    pub user_id: UserId,
    /// 1 to the campaign's quota, unique within the campaign.
    #[schema(example = 57)]
    pub ticket: u32,
    /// Order of arrival: never reused, even where a ticket is.
    #[schema(example = 57)]
    pub sequence: u64,
    /// Where it stands.
    #[schema(value_type = ClaimStateSchema)]
    pub state: ClaimState,
    /// When it was admitted. Not in the first answer, which is older than its writing down.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub admitted_at: Option<DateTime<Utc>>,
    /// Why it was released.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub release_reason: Option<String>,
}

impl ClaimBody {
    /// The answer to a new claim.
    pub fn new(claim: Claim) -> Self {
        Self {
            admitted_at: None,
            ..Self::read(claim)
        }
    }

    /// A claim that was read from MySQL.
    pub fn read(claim: Claim) -> Self {
        Self {
            claim_id: claim.claim_id,
            campaign_id: claim.campaign_id,
            user_id: claim.user_id,
            ticket: claim.ticket.get(),
            sequence: claim.sequence,
            state: claim.state,
            admitted_at: Some(claim.admitted_at),
            release_reason: claim.release_reason,
        }
    }
}

/// The claim that a user has already.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct EarlierClaim {
    /// The claim.
    #[schema(value_type = uuid::Uuid)]
    pub claim_id: ClaimId,
    /// Its ticket.
    #[schema(example = 57)]
    pub ticket: u32,
    /// Where it stands.
    #[schema(value_type = ClaimStateSchema)]
    pub state: ClaimState,
}
