//! G6: no change without its event, no event without its change.

use std::collections::BTreeMap;

use serde_json::Value;
use uuid::Uuid;

use super::evidence::{Claim, Event, Evidence};

/// G6: every aggregate's events are numbered 1, 2, ... up to what its row says, and
/// what the rows say agrees with which events there are.
pub fn complete(evidence: &Evidence) -> Vec<String> {
    let mut by_aggregate: BTreeMap<String, Vec<&Event>> = BTreeMap::new();
    for event in evidence.events.iter().filter(|event| !event.is_copy()) {
        by_aggregate.entry(event.aggregate()).or_default().push(event);
    }
    let mut found = Vec::new();
    for campaign in &evidence.campaigns {
        let events = by_aggregate
            .remove(&campaign.campaign_id.to_string())
            .unwrap_or_default();
        found.extend(numbered(
            &campaign.campaign_id.to_string(),
            &events,
            campaign.event_sequence,
        ));
    }
    let coupons: BTreeMap<_, _> = evidence
        .coupons
        .iter()
        .map(|coupon| (coupon.coupon_id, coupon))
        .collect();
    for claim in evidence.claims.iter().chain(&evidence.released) {
        let id = claim.claim_id.to_string();
        let events = by_aggregate.remove(&id).unwrap_or_default();
        let coupon = coupons.get(&claim.claim_id);
        let last = coupon.map_or(claim.event_sequence, |coupon| coupon.event_sequence);
        found.extend(numbered(&id, &events, last));
        let released = evidence
            .released
            .iter()
            .any(|released| released.claim_id == claim.claim_id);
        let expected = [
            ("ClaimAdmitted", 1),
            ("ClaimIssued", usize::from(coupon.is_some())),
            ("ClaimReleased", usize::from(released)),
        ];
        for (kind, expected) in expected {
            let count = events.iter().filter(|event| event.kind() == kind).count();
            if count != expected {
                found.push(format!("G6 claim {id} has {count} events {kind}, not {expected}"));
            }
        }
        if let Some(coupon) = coupon {
            found.extend(lifecycle(&coupon.state, &id, &events));
        }
    }
    found.extend(by_aggregate.into_iter().map(|(aggregate, events)| {
        format!(
            "G6 {aggregate} has {} events, the first {}, but does not exist",
            events.len(),
            events[0].kind()
        )
    }));
    found
}

/// The coupon's state is what its last event says.
fn lifecycle(state: &str, id: &str, events: &[&Event]) -> Option<String> {
    let last = events.iter().max_by_key(|event| event.sequence)?;
    let expected = match last.kind() {
        "CouponUsed" => "used",
        "CouponExpired" => "expired",
        _ => "issued",
    };
    (state != expected).then(|| format!("G6 coupon {id} is {state}, but its last event is {}", last.kind()))
}

fn numbered(aggregate: &str, events: &[&Event], last: u64) -> Option<String> {
    let mut numbers: Vec<_> = events.iter().map(|event| event.sequence).collect();
    numbers.sort_unstable();
    let contiguous = numbers.iter().copied().eq(1..=last);
    (!contiguous).then(|| format!("G6 {aggregate} has events numbered {numbers:?}, its row says 1 to {last}"))
}

/// G6: what an admitted claim's event says is what its row says.
pub fn truthful(evidence: &Evidence) -> Vec<String> {
    let claims = evidence.claims.iter().chain(&evidence.released);
    let by_id: BTreeMap<_, _> = claims.map(|claim| (claim.claim_id.to_string(), claim)).collect();
    let campaigns: BTreeMap<_, _> = evidence
        .campaigns
        .iter()
        .map(|campaign| (campaign.campaign_no, campaign.campaign_id))
        .collect();
    let admitted = evidence
        .events
        .iter()
        .filter(|event| !event.is_copy() && event.kind() == "ClaimAdmitted");
    let differing = admitted.filter_map(|event| {
        let claim = by_id.get(&event.aggregate())?;
        let Some(value) = event
            .payload
            .as_deref()
            .and_then(|payload| evidence.read_value(payload))
        else {
            return Some(format!("G6 the event of claim {} cannot be read", claim.claim_id));
        };
        let agrees = says(&value, claim, campaigns.get(&claim.campaign_no).copied());
        (!agrees).then(|| {
            format!(
                "G6 the event of claim {} says something else than its row: {value}",
                claim.claim_id
            )
        })
    });
    differing.collect()
}

fn says(value: &Value, claim: &Claim, campaign_id: Option<Uuid>) -> bool {
    value["claim_id"] == claim.claim_id.to_string()
        && value["campaign_id"].as_str() == campaign_id.map(|id| id.to_string()).as_deref()
        && value["user_id"] == claim.user()
        && value["ticket"] == claim.ticket
        && value["sequence"] == claim.sequence
        && value["admission_epoch"] == claim.admission_epoch
}
