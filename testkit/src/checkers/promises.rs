//! G2: no broken promise.

use std::collections::BTreeMap;

use uuid::Uuid;

use super::evidence::Evidence;
use crate::client::Ledger;

/// G2: every claim that a client was told of exists with that user and ticket, and has
/// its coupon, or was released for a stated reason, or lies with an operator.
pub fn kept(evidence: &Evidence, campaign_id: Uuid, ledger: &Ledger) -> Vec<String> {
    let campaign_no = evidence.campaign(campaign_id).campaign_no;
    let stand: BTreeMap<_, _> = evidence
        .claims
        .iter()
        .map(|claim| (claim.claim_id, claim))
        .collect();
    let released: BTreeMap<_, _> = evidence
        .released
        .iter()
        .map(|claim| (claim.claim_id, claim))
        .collect();
    let coupons: BTreeMap<_, _> = evidence
        .coupons
        .iter()
        .map(|coupon| (coupon.coupon_id, coupon))
        .collect();
    let with_operator = |claim_id: Uuid| {
        let key = claim_id.to_string();
        let mut letters = evidence
            .letters
            .iter()
            .filter(|letter| letter.record_key.as_deref() == Some(key.as_bytes()));
        letters.any(|letter| letter.state == "open" || letter.state == "quarantined")
    };
    let mut found = Vec::new();
    for (claim_id, (user, promised)) in ledger.promises() {
        let Some(claim) = stand.get(&claim_id).or_else(|| released.get(&claim_id)) else {
            found.push(format!(
                "G2 {user} was promised claim {claim_id}, which does not exist"
            ));
            continue;
        };
        if claim.campaign_no != campaign_no || claim.user() != user || claim.ticket != promised.ticket {
            found.push(format!(
                "G2 {user} was promised claim {claim_id} with ticket {}, but it is {}'s with ticket {}",
                promised.ticket,
                claim.user(),
                claim.ticket
            ));
        }
        if promised
            .sequence
            .is_some_and(|sequence| sequence != claim.sequence)
        {
            found.push(format!(
                "G2 {user} was told another sequence than {} of {claim_id}",
                claim.sequence
            ));
        }
        if released.contains_key(&claim_id) {
            if claim.reason.is_empty() {
                found.push(format!(
                    "G2 claim {claim_id} of {user} was released without a reason"
                ));
            }
        } else if coupons
            .get(&claim_id)
            .is_none_or(|coupon| coupon.user_id != claim.user_id)
            && !with_operator(claim_id)
        {
            found.push(format!("G2 claim {claim_id} of {user} never became a coupon"));
        }
    }
    found
}
