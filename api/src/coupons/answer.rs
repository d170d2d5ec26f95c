//! Coupons as outsiders see them.

use chrono::{DateTime, Utc};
use headgate_domain::coupons::{Coupon, CouponState};
use headgate_schemas::ids::{CampaignId, ClaimId};
use headgate_schemas::names::{OrderReference, UserId};
use serde::Serialize;
use utoipa::ToSchema;

use crate::campaigns::DiscountBody;

/// A coupon.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Coupon)]
pub struct CouponBody {
    /// Its claim's id.
    #[schema(value_type = uuid::Uuid)]
    pub coupon_id: ClaimId,
    /// The campaign.
    #[schema(value_type = uuid::Uuid)]
    pub campaign_id: CampaignId,
    /// The partner's own name of the user.
    #[schema(value_type = String, example = "u-1")]
    pub user_id: UserId,
    /// The claim's ticket.
    #[schema(example = 57)]
    pub ticket: u32,
    /// Where it stands now.
    pub state: CouponStateBody,
    /// What it is worth.
    pub discount: DiscountBody,
    /// Least order amount on which it may be used.
    pub order_amount_min: u64,
    /// When it was issued.
    pub issued_at: DateTime<Utc>,
    /// Until when it can be used.
    pub expires_at: DateTime<Utc>,
    /// When it was used.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub used_at: Option<DateTime<Utc>>,
    /// The order it was used on.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, example = "order-7")]
    pub order_reference: Option<OrderReference>,
}

/// Where a coupon stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
#[schema(as = CouponState)]
pub enum CouponStateBody {
    /// Can be used.
    Issued,
    /// Was used on an order.
    Used,
    /// Ran out unused.
    Expired,
}

impl CouponBody {
    /// The coupon as it stands at `now`.
    pub fn new(coupon: Coupon, now: DateTime<Utc>) -> Self {
        Self {
            state: match coupon.state_at(now) {
                CouponState::Issued => CouponStateBody::Issued,
                CouponState::Used => CouponStateBody::Used,
                CouponState::Expired => CouponStateBody::Expired,
            },
            coupon_id: coupon.coupon_id,
            campaign_id: coupon.campaign_id,
            user_id: coupon.user_id,
            ticket: coupon.ticket,
            discount: coupon.discount.into(),
            order_amount_min: coupon.order_amount_min,
            issued_at: coupon.issued_at,
            expires_at: coupon.expires_at,
            used_at: coupon.used_at,
            order_reference: coupon.order_reference,
        }
    }
}

/// A page of coupons.
#[derive(Debug, Serialize, ToSchema)]
pub struct CouponPage {
    /// The latest first.
    pub items: Vec<CouponBody>,
    /// `?cursor=` of the next page; null at the end.
    pub next_cursor: Option<String>,
}
