//! G1, a campaign never issues more than its quota and a user never gets two; G3, no
//! quota leaks.

use std::collections::{BTreeMap, BTreeSet};

use uuid::Uuid;

use super::evidence::{Campaign, Evidence};
use crate::client::Ledger;

/// G1: tickets are unique and lie between 1 and the quota, every user has one claim at
/// most, coupons are no more than the quota, and the stock says the same.
pub fn quota(evidence: &Evidence) -> Vec<String> {
    evidence
        .campaigns
        .iter()
        .flat_map(|campaign| quota_of(evidence, campaign))
        .collect()
}

fn quota_of(evidence: &Evidence, campaign: &Campaign) -> Vec<String> {
    let id = campaign.campaign_id;
    let claims = evidence
        .claims
        .iter()
        .filter(|claim| claim.campaign_no == campaign.campaign_no);
    let coupons = evidence
        .coupons
        .iter()
        .filter(|coupon| coupon.campaign_no == campaign.campaign_no);
    let claimed: Vec<_> = claims
        .map(|claim| (claim.ticket, claim.user_id.clone()))
        .collect();
    let issued: Vec<_> = coupons
        .map(|coupon| (coupon.ticket, coupon.user_id.clone()))
        .collect();
    let mut found = Vec::new();
    for (what, held) in [("claims", &claimed), ("coupons", &issued)] {
        let tickets: BTreeSet<_> = held.iter().map(|(ticket, _)| *ticket).collect();
        let users: BTreeSet<_> = held.iter().map(|(_, user)| user.clone()).collect();
        if tickets.len() != held.len() {
            found.push(format!(
                "G1 {id}: a ticket was given twice: {} {what}, {} tickets",
                held.len(),
                tickets.len()
            ));
        }
        if users.len() != held.len() {
            found.push(format!(
                "G1 {id}: a user has two: {} {what}, {} users",
                held.len(),
                users.len()
            ));
        }
        let beyond = tickets
            .iter()
            .filter(|ticket| !(1..=campaign.quota).contains(*ticket));
        found.extend(beyond.map(|ticket| {
            format!(
                "G1 {id}: ticket {ticket} of {what} lies beyond the quota {}",
                campaign.quota
            )
        }));
    }
    let count = u32::try_from(issued.len()).unwrap_or(u32::MAX);
    if campaign.issued != count || campaign.remaining.checked_add(count) != Some(campaign.quota) {
        found.push(format!(
            "G1 {id}: the stock says {} issued and {} remaining, but {count} of {} coupons exist",
            campaign.issued, campaign.remaining, campaign.quota
        ));
    }
    found
}

/// G3: in the end as many claims stand as there is quota, or as users who kept asking.
/// The ledger has to hold everybody who asked for this campaign.
pub fn nothing_leaked(evidence: &Evidence, campaign_id: Uuid, ledger: &Ledger) -> Vec<String> {
    let campaign = evidence.campaign(campaign_id);
    let claims = evidence
        .claims
        .iter()
        .filter(|claim| claim.campaign_no == campaign.campaign_no)
        .count();
    let askers = ledger.users().len();
    let expected = askers.min(usize::try_from(campaign.quota).unwrap_or(usize::MAX));
    if claims == expected {
        return Vec::new();
    }
    vec![format!(
        "G3 {campaign_id}: {askers} users asked for {} coupons, but {claims} claims stand, not {expected}",
        campaign.quota
    )]
}

/// G3: what Redis hands out next is what nobody holds. Says nothing about campaigns
/// whose tickets come from MySQL at the moment, or that Redis does not know.
pub fn admission_agrees(evidence: &Evidence) -> Vec<String> {
    let from_redis = evidence
        .campaigns
        .iter()
        .filter(|campaign| campaign.admission_source == "redis");
    from_redis
        .flat_map(|campaign| admission_of(evidence, campaign))
        .collect()
}

fn admission_of(evidence: &Evidence, campaign: &Campaign) -> Vec<String> {
    let id = campaign.campaign_id;
    let Some(state) = evidence.admission.get(&id) else {
        return Vec::new();
    };
    if state.epoch != campaign.admission_epoch {
        // Left over: the next request finds it cold.
        return Vec::new();
    }
    let claims = evidence
        .claims
        .iter()
        .filter(|claim| claim.campaign_no == campaign.campaign_no);
    let held: BTreeMap<_, _> = claims.map(|claim| (claim.ticket, claim)).collect();
    let mut found = Vec::new();
    if state.pending > 0 {
        found.push(format!(
            "G3 {id}: {} reservations were never settled",
            state.pending
        ));
    }
    for ticket in 1..=state.counter {
        let is_free = state.free.contains(&ticket);
        match (held.get(&ticket), is_free) {
            (Some(claim), true) => {
                found.push(format!(
                    "G3 {id}: ticket {ticket} of {} is free in Redis",
                    claim.user()
                ));
            }
            (None, false) => found.push(format!("G3 {id}: ticket {ticket} is nobody's, and not free")),
            _ => {}
        }
    }
    let beyond = held.keys().filter(|ticket| **ticket > state.counter);
    found
        .extend(beyond.map(|ticket| format!("G3 {id}: ticket {ticket} is held, but Redis will hand it out")));
    for (user, (claim_id, ticket)) in &state.users {
        let holds = held
            .get(ticket)
            .is_some_and(|claim| claim.claim_id == *claim_id && &claim.user_id == user);
        if !holds {
            let user = String::from_utf8_lossy(user);
            found.push(format!(
                "G3 {id}: Redis blocks {user} with claim {claim_id}, which does not exist"
            ));
        }
    }
    found
}
