//! Claims: `admitted -> issued | released`. A row in `claims` is an admitted claim;
//! it is issued when a coupon of the same id exists; a released claim has moved to
//! `released_claims`, which frees its ticket and its user.

pub mod admit;
pub mod fallback;
pub mod issue;
pub mod release;
pub mod store;

use chrono::{DateTime, Utc};
use headgate_schemas::ids::{CampaignId, ClaimId, PartnerId};
use headgate_schemas::names::UserId;
use headgate_schemas::quantities::{AdmissionEpoch, Ticket};
use serde::Serialize;

/// Where a claim stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum ClaimState {
    /// Durable, entitled to a coupon.
    Admitted,
    /// The coupon exists.
    Issued,
    /// Given up; ticket and user are free again.
    Released,
}

impl ClaimState {
    /// Whether nothing more will happen to the claim.
    pub const fn is_terminal(self) -> bool {
        matches!(self, Self::Issued | Self::Released)
    }
}

/// A durable claim.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claim {
    /// The claim, and later the coupon.
    pub claim_id: ClaimId,
    /// Its campaign.
    pub campaign_id: CampaignId,
    /// The campaign's partner.
    pub partner_no: u32,
    /// Whose it is.
    pub user_id: UserId,
    /// 1 to the campaign's quota.
    pub ticket: Ticket,
    /// Order of admission; see [`sequence`].
    pub sequence: u64,
    /// Where it stands.
    pub state: ClaimState,
    /// When it was admitted.
    pub admitted_at: DateTime<Utc>,
    /// Why it was released.
    pub release_reason: Option<String>,
}

/// A reservation that is about to become a claim.
#[derive(Clone, Debug)]
pub struct Reservation {
    /// Chosen by whoever asks, so that asking again gives the same answer.
    pub claim_id: ClaimId,
    /// The campaign's row.
    pub campaign_no: u32,
    /// The campaign.
    pub campaign_id: CampaignId,
    /// The campaign's partner.
    pub partner_id: PartnerId,
    /// Who asks.
    pub user_id: UserId,
    /// The number that was handed out.
    pub ticket: Ticket,
    /// In which epoch.
    pub epoch: AdmissionEpoch,
    /// See [`sequence`].
    pub sequence: u64,
    /// Tickets not handed out after this one.
    pub stock_left: u32,
    /// Trace of the request.
    pub traceparent: Option<String>,
}

/// Bits of a sequence that count within an epoch.
const NUMBER_BITS: u32 = 32;

/// The never-reused sequence of the `number`-th admission (from 1) of an epoch. It
/// orders like (epoch, number), and no epoch can repeat another's.
pub const fn sequence(epoch: AdmissionEpoch, number: u32) -> u64 {
    (((epoch.get() - 1) as u64) << NUMBER_BITS) | number as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sequences_order_as_epoch_and_number() {
        let epoch = |n| AdmissionEpoch::new(n).expect("from 1");
        assert_eq!(sequence(epoch(1), 57), 57);
        assert!(sequence(epoch(1), u32::MAX) < sequence(epoch(2), 1));
        assert!(sequence(epoch(2), 1) < sequence(epoch(2), 2));
    }
}
