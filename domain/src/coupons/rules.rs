//! Which transitions a coupon makes. Pure: the store executes what is decided here.

use chrono::{DateTime, Utc};
use headgate_schemas::names::OrderReference;

use super::{Coupon, CouponState, Refusal};

/// What a request comes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decision {
    /// Do it.
    Change,
    /// It is so already: whoever asks again hears the same.
    Nothing,
}

impl Coupon {
    /// Where the coupon stands at `now`, whether or not the expiry job has written it
    /// down yet.
    pub fn state_at(&self, now: DateTime<Utc>) -> CouponState {
        match self.state {
            CouponState::Issued if now >= self.expires_at => CouponState::Expired,
            state => state,
        }
    }

    /// May it be used on `order`? Using it again on the same order changes nothing.
    pub fn use_on(&self, order: &OrderReference, now: DateTime<Utc>) -> Result<Decision, Refusal> {
        match self.state_at(now) {
            CouponState::Issued => Ok(Decision::Change),
            CouponState::Used if self.order_reference.as_ref() == Some(order) => Ok(Decision::Nothing),
            CouponState::Used => Err(Refusal::AlreadyUsed {
                used_at: self.used_at.unwrap_or(self.issued_at),
            }),
            CouponState::Expired => Err(Refusal::Expired {
                expires_at: self.expires_at,
            }),
        }
    }

    /// May it be given back from `order`? If no order is named, from whichever it was
    /// used on. Giving it back again from the same order changes nothing.
    pub fn restore_from(
        &self,
        order: Option<&OrderReference>,
        now: DateTime<Utc>,
    ) -> Result<Decision, Refusal> {
        let expired = Refusal::Expired {
            expires_at: self.expires_at,
        };
        match self.state {
            CouponState::Used if order.is_some() && order != self.order_reference.as_ref() => {
                Err(Refusal::OtherOrder)
            }
            CouponState::Used if now >= self.expires_at => Err(expired),
            CouponState::Used => Ok(Decision::Change),
            CouponState::Issued if order.is_some() && order == self.restored_from.as_ref() => {
                Ok(Decision::Nothing)
            }
            CouponState::Issued if now < self.expires_at => Err(Refusal::NotUsed),
            CouponState::Issued | CouponState::Expired => Err(expired),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::campaigns::Discount;
    use headgate_outbox::write::Predecessor;
    use headgate_schemas::ids::{CampaignId, ClaimId, PartnerId};
    use headgate_schemas::names::UserId;

    fn at(hour: u32) -> DateTime<Utc> {
        format!("2026-11-21T{hour:02}:00:00Z").parse().expect("a time")
    }

    fn order(name: &str) -> OrderReference {
        OrderReference::new(name).expect("a name")
    }

    /// Issued at 10, valid until 20 o'clock.
    fn issued() -> Coupon {
        Coupon {
            coupon_id: ClaimId::generate(),
            campaign_id: CampaignId::generate(),
            partner_no: 1,
            partner_id: PartnerId::generate(),
            ticket: 1,
            user_id: UserId::new("u-1").expect("a name"),
            discount: Discount::Fixed { amount: 1_000 },
            order_amount_min: 0,
            state: CouponState::Issued,
            issued_at: at(10),
            expires_at: at(20),
            used_at: None,
            order_reference: None,
            restored_from: None,
            last_event: Predecessor::default(),
        }
    }

    fn used_on(name: &str) -> Coupon {
        Coupon {
            state: CouponState::Used,
            used_at: Some(at(11)),
            order_reference: Some(order(name)),
            ..issued()
        }
    }

    fn expired() -> Refusal {
        Refusal::Expired { expires_at: at(20) }
    }

    #[test]
    fn a_coupon_is_used_once_and_the_same_order_hears_the_same() {
        assert_eq!(issued().use_on(&order("a"), at(19)), Ok(Decision::Change));
        assert_eq!(used_on("a").use_on(&order("a"), at(19)), Ok(Decision::Nothing));
        let refused = Err(Refusal::AlreadyUsed { used_at: at(11) });
        assert_eq!(used_on("a").use_on(&order("b"), at(19)), refused);
    }

    #[test]
    fn validity_ends_at_the_very_moment_whether_or_not_the_job_has_run() {
        assert_eq!(issued().use_on(&order("a"), at(20)), Err(expired()));
        assert_eq!(issued().state_at(at(20)), CouponState::Expired);
        // What was used in time stays used.
        assert_eq!(used_on("a").use_on(&order("a"), at(20)), Ok(Decision::Nothing));
        assert_eq!(used_on("a").state_at(at(20)), CouponState::Used);
    }

    #[test]
    fn only_the_order_that_has_it_gives_it_back() {
        assert_eq!(
            used_on("a").restore_from(Some(&order("a")), at(12)),
            Ok(Decision::Change)
        );
        assert_eq!(used_on("a").restore_from(None, at(12)), Ok(Decision::Change));
        assert_eq!(
            used_on("a").restore_from(Some(&order("b")), at(12)),
            Err(Refusal::OtherOrder)
        );
        assert_eq!(used_on("a").restore_from(None, at(20)), Err(expired()));
    }

    #[test]
    fn giving_back_twice_changes_nothing_and_what_was_not_used_is_refused() {
        let restored = Coupon {
            restored_from: Some(order("a")),
            ..issued()
        };
        assert_eq!(
            restored.restore_from(Some(&order("a")), at(12)),
            Ok(Decision::Nothing)
        );
        assert_eq!(
            restored.restore_from(Some(&order("b")), at(12)),
            Err(Refusal::NotUsed)
        );
        assert_eq!(issued().restore_from(None, at(12)), Err(Refusal::NotUsed));
        assert_eq!(issued().restore_from(None, at(20)), Err(expired()));
    }
}
