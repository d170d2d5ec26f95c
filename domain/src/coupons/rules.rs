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
