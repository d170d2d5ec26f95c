//! What is done with coupons: each change and its event, in one transaction.

use chrono::{DateTime, Utc};
use headgate_outbox::multirow;
use headgate_outbox::write::{EventWriter, OutboxRow, Predecessor};
use headgate_schemas::event::coupons::{ClaimIssued, CouponExpired, CouponRestored, CouponUsed};
use headgate_schemas::event::{DomainEvent, Timestamp};
use headgate_schemas::ids::{CampaignId, ClaimId, PartnerId};
use headgate_schemas::names::{OrderReference, UserId};
use sqlx::{MySql, Transaction};

use super::rules::Decision;
use super::{Coupon, CouponState, store};
use crate::{Change, Error};

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

type Tx<'t, 'c> = &'t mut Transaction<'c, MySql>;

/// Issues coupons. Returns the rows of their `ClaimIssued`, for the caller to write with
/// its other events. A coupon that exists already fails the whole call with a duplicate
/// key. The stock is taken apart, by [`crate::campaigns::store::take_stock`], as the last
/// step: its row is locked by every batch of the campaign, so the lock is to be short.
pub async fn issue(
    transaction: Tx<'_, '_>,
    change: Change<'_>,
    coupons: &[NewCoupon],
) -> Result<Vec<OutboxRow>, Error> {
    let rows = coupons
        .iter()
        .map(|coupon| {
            let event = ClaimIssued {
                claim_id: coupon.coupon_id,
                coupon_id: coupon.coupon_id,
                campaign_id: coupon.campaign_id,
                partner_id: coupon.partner_id,
                user_id: coupon.user_id.as_str().to_owned(),
                ticket: i32::try_from(coupon.ticket).unwrap_or(i32::MAX),
                issued_at: Timestamp::from(change.now),
                expires_at: Timestamp::from(coupon.expires_at),
            };
            let row = change
                .writer
                .row(&event, coupon.after, change.now, coupon.traceparent.clone())?;
            Ok(row)
        })
        .collect::<Result<Vec<_>, Error>>()?;
    for (coupons, rows) in multirow::pieces(coupons).zip(multirow::pieces(&rows)) {
        store::insert(transaction, coupons, rows, change.now).await?;
    }
    Ok(rows)
}

/// Uses a coupon on an order. `None` if the partner has no such coupon. The row stays
/// locked to the end of the transaction: of two uses at once one waits, and then
/// hears that it is used.
pub async fn use_coupon(
    transaction: Tx<'_, '_>,
    change: Change<'_>,
    partner_no: u32,
    coupon_id: ClaimId,
    order: OrderReference,
) -> Result<Option<Coupon>, Error> {
    let Some(mut coupon) = store::lock(transaction, partner_no, coupon_id).await? else {
        return Ok(None);
    };
    if coupon.use_on(&order, change.now)? == Decision::Nothing {
        return Ok(Some(coupon));
    }
    let event = CouponUsed {
        coupon_id,
        campaign_id: coupon.campaign_id,
        partner_id: coupon.partner_id,
        user_id: coupon.user_id.as_str().to_owned(),
        order_reference: order.as_str().to_owned(),
        used_at: Timestamp::from(change.now),
    };
    coupon.state = CouponState::Used;
    coupon.used_at = Some(change.now);
    coupon.order_reference = Some(order);
    coupon.restored_from = None;
    write(transaction, change, &mut coupon, &event).await?;
    Ok(Some(coupon))
}

/// Gives a used coupon back. `None` if the partner has no such coupon.
pub async fn restore(
    transaction: Tx<'_, '_>,
    change: Change<'_>,
    partner_no: u32,
    coupon_id: ClaimId,
    order: Option<OrderReference>,
) -> Result<Option<Coupon>, Error> {
    let Some(mut coupon) = store::lock(transaction, partner_no, coupon_id).await? else {
        return Ok(None);
    };
    if coupon.restore_from(order.as_ref(), change.now)? == Decision::Nothing {
        return Ok(Some(coupon));
    }
    coupon.restored_from = coupon.order_reference.take();
    coupon.state = CouponState::Issued;
    coupon.used_at = None;
    let event = CouponRestored {
        coupon_id,
        campaign_id: coupon.campaign_id,
        partner_id: coupon.partner_id,
        user_id: coupon.user_id.as_str().to_owned(),
        order_reference: coupon
            .restored_from
            .as_ref()
            .map(ToString::to_string)
            .unwrap_or_default(),
        expires_at: Timestamp::from(coupon.expires_at),
        restored_at: Timestamp::from(change.now),
    };
    write(transaction, change, &mut coupon, &event).await?;
    Ok(Some(coupon))
}

/// Expires up to `limit` coupons whose time is up, and says how many: fewer than
/// `limit` means that none is left. Coupons that somebody holds locked are skipped.
pub async fn expire_due(transaction: Tx<'_, '_>, change: Change<'_>, limit: u32) -> Result<usize, Error> {
    let due = store::lock_due_to_expire(transaction, change.now, limit).await?;
    let rows = due
        .iter()
        .map(|coupon| {
            let event = CouponExpired {
                coupon_id: coupon.coupon_id,
                campaign_id: coupon.campaign_id,
                partner_id: coupon.partner_id,
                user_id: coupon.user_id.as_str().to_owned(),
                expired_at: Timestamp::from(coupon.expires_at),
            };
            Ok(change.writer.row(&event, coupon.last_event, change.now, None)?)
        })
        .collect::<Result<Vec<_>, Error>>()?;
    if !rows.is_empty() {
        store::mark_expired(transaction, &due, &rows).await?;
        EventWriter::write(transaction, &rows).await?;
    }
    Ok(due.len())
}

/// Writes the coupon and its next event.
async fn write<T: DomainEvent>(
    transaction: Tx<'_, '_>,
    change: Change<'_>,
    coupon: &mut Coupon,
    event: &T,
) -> Result<(), Error> {
    let traceparent = change.traceparent.map(str::to_owned);
    let row = change
        .writer
        .row(event, coupon.last_event, change.now, traceparent)?;
    coupon.last_event = Predecessor {
        sequence: row.sequence,
        outbox_id: row.id,
    };
    store::update(transaction, coupon).await?;
    EventWriter::write(transaction, &[row]).await?;
    Ok(())
}
