//! Campaigns: how many coupons, worth what, from when to when.
//!
//! `scheduled -> open -> ended`, and `open -> paused -> open | ended`. The campaign
//! clock opens and ends by MySQL's time; a partner or an operator may pause, resume
//! and end.

mod lifecycle;
mod registration;
pub mod rules;
pub mod store;

use chrono::{DateTime, Utc};
use headgate_schemas::ids::{CampaignId, PartnerId};
use headgate_schemas::quantities::Quota;

pub use registration::{
    AMOUNT_MAX, CLOSING_YEAR_MAX, CampaignName, Discount, InvalidRegistration, NAME_CHARS_MAX, NewCampaign,
    OPENING_YEAR_MIN, VALID_FOR_SECONDS_MAX, VALID_FOR_SECONDS_USUAL, ValidFor, Window, WindowFault,
    order_amount_min,
};

/// A campaign, as its row has it.
#[derive(Clone, Debug, PartialEq)]
pub struct Campaign {
    /// The number that other tables refer to.
    pub campaign_no: u32,
    /// The id that outsiders see.
    pub campaign_id: CampaignId,
    /// Whose it is.
    pub partner_no: u32,
    /// Whose it is, as outsiders see it.
    pub partner_id: PartnerId,
    /// For people.
    pub name: String,
    /// Most coupons.
    pub quota: Quota,
    /// When claims begin.
    pub opens_at: DateTime<Utc>,
    /// When claims end.
    pub closes_at: DateTime<Utc>,
    /// What a coupon is worth.
    pub discount: Discount,
    /// Least order amount on which a coupon may be used, in minor units.
    pub order_amount_min: u64,
    /// How long a coupon is valid from the moment it is issued.
    pub valid_for: ValidFor,
    /// Whether a user whose claim was released may claim again.
    pub reclaim_allowed: bool,
    /// As stored: the campaign clock may be a moment behind. See [`Campaign::state_at`].
    pub state: CampaignState,
    /// Grows with every rebuild of the admission state; 0 until the first claim.
    pub admission_epoch: u32,
    /// Who hands out tickets in this epoch.
    pub admission_source: AdmissionSource,
    /// When it was registered.
    pub created_at: DateTime<Utc>,
    /// When it was last changed.
    pub updated_at: DateTime<Utc>,
    /// When it ended.
    pub ended_at: Option<DateTime<Utc>>,
}

/// Where a campaign stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, sqlx::Type)]
#[sqlx(rename_all = "lowercase")]
pub enum CampaignState {
    /// Not open yet.
    Scheduled,
    /// Takes claims.
    Open,
    /// Takes none until it is resumed.
    Paused,
    /// Takes none any more.
    Ended,
}

impl CampaignState {
    /// The word for it, in tables and answers.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Scheduled => "scheduled",
            Self::Open => "open",
            Self::Paused => "paused",
            Self::Ended => "ended",
        }
    }
}

/// Who hands out a campaign's tickets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, sqlx::Type)]
#[sqlx(rename_all = "lowercase")]
pub enum AdmissionSource {
    /// The script in Redis: fast.
    Redis,
    /// MySQL itself, while Redis is away: slow.
    Mysql,
}

/// How far a campaign has got.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    /// Claims admitted and not released.
    pub claimed: u64,
    /// Coupons issued.
    pub issued: u64,
}

/// Why a campaign does not do what was asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// It opens later.
    #[error("the campaign is not open yet")]
    NotOpen {
        /// When it opens.
        opens_at: DateTime<Utc>,
    },
    /// It is over.
    #[error("the campaign has ended")]
    Ended,
    /// The new quota is below the present one.
    #[error("the quota can only be raised: it is {quota} now")]
    QuotaLowered {
        /// The present quota.
        quota: Quota,
    },
}
