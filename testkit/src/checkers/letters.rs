//! G8, each event changes each group's tables once; G9 and G10, dead letters are
//! accounted for.

use std::collections::{BTreeMap, BTreeSet};

use super::evidence::{Evidence, GROUP};

/// G8: one coupon per applied admission, one applied admission per coupon.
pub fn each_event_once(evidence: &Evidence) -> Vec<String> {
    let admitted: BTreeMap<_, _> = evidence
        .events
        .iter()
        .filter(|event| !event.is_copy() && event.kind() == "ClaimAdmitted")
        .map(|event| (event.event_id, event.aggregate()))
        .collect();
    let seen = evidence.inbox.iter().filter(|seen| seen.group_name == GROUP);
    let applied: BTreeSet<_> = seen
        .filter(|seen| seen.state == "applied")
        .filter_map(|seen| admitted.get(&seen.event_id))
        .collect();
    let coupons: BTreeSet<_> = evidence
        .coupons
        .iter()
        .map(|coupon| coupon.coupon_id.to_string())
        .collect();
    let mut found = Vec::new();
    for coupon in &coupons {
        if !applied.contains(coupon) {
            found.push(format!(
                "G8 coupon {coupon} exists, but no inbox row says that its event was applied"
            ));
        }
    }
    for claim in applied {
        if !coupons.contains(claim) {
            found.push(format!(
                "G8 the event of claim {claim} counts as applied, but there is no coupon"
            ));
        }
    }
    let claims = evidence.claims.iter().map(|claim| (claim.claim_id, claim));
    let claims: BTreeMap<_, _> = claims.collect();
    for coupon in &evidence.coupons {
        let agrees = claims.get(&coupon.coupon_id).is_some_and(|claim| {
            claim.campaign_no == coupon.campaign_no
                && claim.ticket == coupon.ticket
                && claim.user_id == coupon.user_id
        });
        if !agrees {
            found.push(format!(
                "G8 coupon {} differs from its claim, or has none",
                coupon.coupon_id
            ));
        }
    }
    found
}

/// G9 and G10: every event that a group could not apply has a letter with its bytes, a
/// copy in the dead-letter topic, a history; and letter and inbox tell the same story.
pub fn accounted(evidence: &Evidence) -> Vec<String> {
    let letters: BTreeMap<_, _> = evidence
        .letters
        .iter()
        .map(|letter| ((letter.group_name.as_str(), letter.event_id), letter))
        .collect();
    let copies: BTreeSet<_> = evidence
        .dead_records()
        .filter_map(|record| record.header("dlq-letter-id").map(str::to_owned))
        .collect();
    let waiting: BTreeSet<_> = evidence
        .events
        .iter()
        .filter(|event| event.is_copy() && event.place != "archive")
        .map(|event| event.event_id)
        .collect();
    let mut found = Vec::new();
    for seen in &evidence.inbox {
        let letter = letters.get(&(seen.group_name.as_str(), seen.event_id));
        let agrees = match (seen.state.as_str(), letter.map(|letter| letter.state.as_str())) {
            ("applied", None | Some("resolved")) | ("discarded", Some("discarded")) => true,
            ("dead" | "parked", Some(state)) => !matches!(state, "resolved" | "discarded"),
            _ => false,
        };
        if !agrees {
            found.push(format!(
                "G9 event {} is {} in the inbox of {}, its letter is {:?}",
                seen.event_id,
                seen.state,
                seen.group_name,
                letter.map(|letter| &letter.state)
            ));
        }
    }
    let seen: BTreeSet<_> = evidence
        .inbox
        .iter()
        .map(|seen| (seen.group_name.as_str(), seen.event_id))
        .collect();
    for letter in &evidence.letters {
        let id = letter.letter_id;
        if !seen.contains(&(letter.group_name.as_str(), letter.event_id)) {
            found.push(format!("G9 letter {id} is in no inbox"));
        }
        if !copies.contains(&id.to_string()) && !waiting.contains(&letter.event_id) {
            found.push(format!("G9 letter {id} is not in the dead-letter topic"));
        }
        if !evidence.history.iter().any(|line| line.letter_id == id) {
            found.push(format!("G10 letter {id} has no history"));
        }
        let origin = evidence.records.iter().find(|record| {
            record.topic == letter.topic
                && record.partition == letter.partition_no
                && record.offset == letter.kafka_offset
        });
        if origin.is_none_or(|record| record.value != letter.record_value || record.key != letter.record_key)
        {
            found.push(format!(
                "G9 letter {id} does not hold the bytes of the record it came from"
            ));
        }
    }
    found.extend(discards(evidence));
    found
}

/// G10: whatever an operator closed is in the audit log.
fn discards(evidence: &Evidence) -> Vec<String> {
    let closed = evidence
        .letters
        .iter()
        .filter(|letter| letter.state == "discarded");
    let silent = closed.filter(|letter| {
        let id = letter.letter_id.to_string();
        !evidence
            .audit
            .iter()
            .any(|(object, action)| object.contains(&id) && action.contains("discard"))
    });
    silent
        .map(|letter| {
            format!(
                "G10 letter {} was discarded without an audit row",
                letter.letter_id
            )
        })
        .collect()
}
