//! The SQL of coupons.

use chrono::{DateTime, Utc};
use headgate_outbox::write::{OutboxRow, Predecessor};
use headgate_schemas::ids::{CampaignId, ClaimId, PartnerId};
use headgate_schemas::names::{OrderReference, UserId};
use sqlx::{MySql, MySqlExecutor, MySqlPool, Transaction};

use super::Coupon;
use crate::{Change, Error, Page};

/// A coupon to be issued: an admitted claim, and what precedes its event.
#[derive(Clone, Debug)]
pub struct NewCoupon {
    /// The claim's id.
    pub coupon_id: ClaimId,
    /// The campaign's number.
    pub campaign_no: u32,
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
    /// Until when it can be used.
    pub expires_at: DateTime<Utc>,
    /// `event_sequence` and `last_outbox_id` of the claim.
    pub after: Predecessor,
    /// Trace of the request that claimed.
    pub traceparent: Option<String>,
}

/// Issues coupons in one INSERT for at most [`COUPONS_PER_INSERT_MAX`] of them. Returns
/// the rows of their `ClaimIssued`, for the caller to write with its other events. A
/// coupon that exists already fails the whole call with a duplicate key.
pub async fn issue(
    _transaction: &mut Transaction<'_, MySql>,
    _change: Change<'_>,
    _coupons: Vec<NewCoupon>,
) -> Result<Vec<OutboxRow>, Error> {
    unimplemented!()
}

/// Most coupons that one INSERT carries: 10 values each, below the 65,535 placeholders
/// of a prepared statement.
pub const COUPONS_PER_INSERT_MAX: usize = 1_000;

/// The coupon of this id, if it is of one of the partner's campaigns.
pub async fn find_of_partner(
    _on: impl MySqlExecutor<'_>,
    _partner_no: u32,
    _coupon_id: ClaimId,
) -> Result<Option<Coupon>, Error> {
    unimplemented!()
}

/// The user's coupons, the latest claim first, `limit` of them after `after`.
pub async fn list_of_user(
    _pool: &MySqlPool,
    _partner_no: u32,
    _user_id: &UserId,
    _after: Option<ClaimId>,
    _limit: u32,
) -> Result<Page<Coupon, ClaimId>, Error> {
    unimplemented!()
}

/// Uses a coupon on an order. `None` if the partner has no such coupon. The row stays
/// locked to the end of the transaction: of two uses at once one waits, and then
/// hears that it is used.
pub async fn use_coupon(
    _transaction: &mut Transaction<'_, MySql>,
    _change: Change<'_>,
    _partner_no: u32,
    _coupon_id: ClaimId,
    _order: OrderReference,
) -> Result<Option<Coupon>, Error> {
    unimplemented!()
}

/// Gives a used coupon back. `None` if the partner has no such coupon.
pub async fn restore(
    _transaction: &mut Transaction<'_, MySql>,
    _change: Change<'_>,
    _partner_no: u32,
    _coupon_id: ClaimId,
    _order: Option<OrderReference>,
) -> Result<Option<Coupon>, Error> {
    unimplemented!()
}

/// Expires up to `limit` coupons whose time is up, and says how many: fewer than
/// `limit` means that none is left. Coupons that somebody holds locked are skipped.
pub async fn expire_due(
    _transaction: &mut Transaction<'_, MySql>,
    _change: Change<'_>,
    _limit: u32,
) -> Result<usize, Error> {
    unimplemented!()
}
