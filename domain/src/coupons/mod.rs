//! Coupons: what an admitted claim becomes.
//!
//! `issued -> used -> issued (restored) | expired`

mod lifecycle;
pub mod rules;
pub mod store;

use chrono::{DateTime, Utc};
use headgate_outbox::write::Predecessor;
use headgate_schemas::ids::{CampaignId, ClaimId, PartnerId};
use headgate_schemas::names::{OrderReference, UserId};

pub use lifecycle::NewCoupon;

use crate::campaigns::Discount;

/// A coupon, with what its events say of its campaign.
#[derive(Clone, Debug, PartialEq)]
pub struct Coupon {
    /// The claim's id.
    pub coupon_id: ClaimId,
    /// The campaign.
    pub campaign_id: CampaignId,
    /// Whose campaign it is.
    pub partner_no: u32,
    /// Whose campaign it is, as outsiders see it.
    pub partner_id: PartnerId,
    /// The claim's ticket.
    pub ticket: u32,
    /// The partner's own name of the user.
    pub user_id: UserId,
    /// What it is worth.
    pub discount: Discount,
    /// Least order amount on which it may be used, in minor units.
    pub order_amount_min: u64,
    /// As stored: the expiry job may be a moment behind. See [`Coupon::state_at`].
    pub state: CouponState,
    /// When it was issued.
    pub issued_at: DateTime<Utc>,
    /// Until when it can be used.
    pub expires_at: DateTime<Utc>,
    /// When it was used.
    pub used_at: Option<DateTime<Utc>>,
    /// The order it was used on.
    pub order_reference: Option<OrderReference>,
    /// The order it was last given back from.
    pub restored_from: Option<OrderReference>,
    /// The last event of the claim and its coupon.
    pub last_event: Predecessor,
}

/// Where a coupon stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, sqlx::Type)]
#[sqlx(rename_all = "lowercase")]
pub enum CouponState {
    /// Can be used.
    Issued,
    /// Was used on an order.
    Used,
    /// Ran out unused.
    Expired,
}

impl CouponState {
    /// The word for it, in tables and answers.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Issued => "issued",
            Self::Used => "used",
            Self::Expired => "expired",
        }
    }
}

/// Why a coupon does not do what was asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// It was used on another order.
    #[error("the coupon was used on another order")]
    AlreadyUsed {
        /// When.
        used_at: DateTime<Utc>,
    },
    /// It can be given back only after it was used.
    #[error("the coupon is not in use")]
    NotUsed,
    /// It was used on another order than the one it is to be given back from.
    #[error("the coupon was used on another order than the one named")]
    OtherOrder,
    /// Its time is up.
    #[error("the coupon has expired")]
    Expired {
        /// When.
        expires_at: DateTime<Utc>,
    },
}
