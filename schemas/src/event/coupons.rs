//! The events of the topic [`crate::topics::COUPONS`]. Each mirrors one schema in
//! `schemas/avro/coupons/`, field by field; a test compares the two.

use super::{Timestamp, topic_events};
use crate::ids::{CampaignId, ClaimId, PartnerId};

topic_events! {
    CouponEvent, COUPONS, "coupons":

    /// A claim was admitted: durable, and entitled to a coupon.
    ClaimAdmitted, "claim-admitted", Claim(claim_id), {
        /// The claim, and later the coupon. Key of the record.
        claim_id: ClaimId,
        /// The campaign.
        campaign_id: CampaignId,
        /// The partner whose campaign it is.
        partner_id: PartnerId,
        /// The partner's own name of the user.
        user_id: String,
        /// 1 to the campaign's quota, unique within the campaign.
        ticket: i32,
        /// Order of admission is the order of (admission_epoch, sequence).
        admission_epoch: i32,
        /// Never reused within the campaign.
        sequence: i64,
        /// Quota of the campaign at this moment.
        quota: i32,
        /// Tickets not handed out after this one.
        stock_left: i32,
        /// When the claim was admitted.
        admitted_at: Timestamp,
    }

    /// The coupon of an admitted claim exists.
    ClaimIssued, "claim-issued", Claim(claim_id), {
        /// The claim; the coupon has the same id. Key of the record.
        claim_id: ClaimId,
        /// The coupon.
        coupon_id: ClaimId,
        /// The campaign.
        campaign_id: CampaignId,
        /// The partner.
        partner_id: PartnerId,
        /// The partner's own name of the user.
        user_id: String,
        /// The claim's ticket.
        ticket: i32,
        /// When the coupon was issued.
        issued_at: Timestamp,
        /// Until when it can be used.
        expires_at: Timestamp,
    }

    /// The coupon could not be issued: a dead letter waits for an operator. The claim stays admitted until it is replayed (ClaimIssued) or discarded (ClaimReleased).
    ClaimFailed, "claim-failed", Claim(claim_id), {
        /// The claim. Key of the record.
        claim_id: ClaimId,
        /// The campaign.
        campaign_id: CampaignId,
        /// The partner.
        partner_id: PartnerId,
        /// The partner's own name of the user.
        user_id: String,
        /// The claim's ticket.
        ticket: i32,
        /// A stable word for the cause.
        reason: String,
        /// When it failed.
        failed_at: Timestamp,
    }

    /// An admitted claim was given up before a coupon was issued; its ticket goes to the next asker.
    ClaimReleased, "claim-released", Claim(claim_id), {
        /// The claim. Key of the record.
        claim_id: ClaimId,
        /// The campaign.
        campaign_id: CampaignId,
        /// The partner.
        partner_id: PartnerId,
        /// The partner's own name of the user.
        user_id: String,
        /// The ticket that became free.
        ticket: i32,
        /// Why it was released.
        reason: String,
        /// When it was released.
        released_at: Timestamp,
    }

    /// A coupon was used on an order.
    CouponUsed, "coupon-used", Claim(coupon_id), {
        /// The coupon. Key of the record.
        coupon_id: ClaimId,
        /// The campaign.
        campaign_id: CampaignId,
        /// The partner.
        partner_id: PartnerId,
        /// The partner's own name of the user.
        user_id: String,
        /// The order it was used on.
        order_reference: String,
        /// When it was used.
        used_at: Timestamp,
    }

    /// A used coupon was given back, usable again until it expires.
    CouponRestored, "coupon-restored", Claim(coupon_id), {
        /// The coupon. Key of the record.
        coupon_id: ClaimId,
        /// The campaign.
        campaign_id: CampaignId,
        /// The partner.
        partner_id: PartnerId,
        /// The partner's own name of the user.
        user_id: String,
        /// The order it had been used on.
        order_reference: String,
        /// Until when it can be used.
        expires_at: Timestamp,
        /// When it was given back.
        restored_at: Timestamp,
    }

    /// A coupon ran out unused.
    CouponExpired, "coupon-expired", Claim(coupon_id), {
        /// The coupon. Key of the record.
        coupon_id: ClaimId,
        /// The campaign.
        campaign_id: CampaignId,
        /// The partner.
        partner_id: PartnerId,
        /// The partner's own name of the user.
        user_id: String,
        /// The end of its validity.
        expired_at: Timestamp,
    }

    /// A campaign opened for claims.
    CampaignOpened, "campaign-opened", Campaign(campaign_id), {
        /// The campaign. Key of the record.
        campaign_id: CampaignId,
        /// The partner.
        partner_id: PartnerId,
        /// The campaign's name.
        name: String,
        /// The quota after this event.
        quota: i32,
        /// Opening time.
        opens_at: Timestamp,
        /// Closing time.
        closes_at: Timestamp,
    }

    /// A campaign was paused: claims are refused until it is resumed.
    CampaignPaused, "campaign-paused", Campaign(campaign_id), {
        /// The campaign. Key of the record.
        campaign_id: CampaignId,
        /// The partner.
        partner_id: PartnerId,
        /// The campaign's name.
        name: String,
        /// The quota after this event.
        quota: i32,
        /// When.
        paused_at: Timestamp,
    }

    /// A paused campaign goes on.
    CampaignResumed, "campaign-resumed", Campaign(campaign_id), {
        /// The campaign. Key of the record.
        campaign_id: CampaignId,
        /// The partner.
        partner_id: PartnerId,
        /// The campaign's name.
        name: String,
        /// The quota after this event.
        quota: i32,
        /// When.
        resumed_at: Timestamp,
    }

    /// A campaign ended, by its closing time or by its partner.
    CampaignEnded, "campaign-ended", Campaign(campaign_id), {
        /// The campaign. Key of the record.
        campaign_id: CampaignId,
        /// The partner.
        partner_id: PartnerId,
        /// The campaign's name.
        name: String,
        /// The quota after this event.
        quota: i32,
        /// Coupons issued so far.
        issued: i32,
        /// When.
        ended_at: Timestamp,
    }

    /// Every coupon of the quota is issued. Sent once each time the stock reaches zero.
    CampaignSoldOut, "campaign-sold-out", Campaign(campaign_id), {
        /// The campaign. Key of the record.
        campaign_id: CampaignId,
        /// The partner.
        partner_id: PartnerId,
        /// The campaign's name.
        name: String,
        /// The quota after this event.
        quota: i32,
        /// Coupons issued.
        issued: i32,
        /// When the last one was issued.
        sold_out_at: Timestamp,
    }

    /// A campaign's quota was raised.
    CampaignQuotaRaised, "campaign-quota-raised", Campaign(campaign_id), {
        /// The campaign. Key of the record.
        campaign_id: CampaignId,
        /// The partner.
        partner_id: PartnerId,
        /// The campaign's name.
        name: String,
        /// The quota after this event.
        quota: i32,
        /// The quota before.
        quota_before: i32,
        /// When.
        raised_at: Timestamp,
    }
}
