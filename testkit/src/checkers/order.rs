//! G4: first come, first served, and provable afterwards.

use std::collections::{BTreeMap, BTreeSet};

use super::evidence::{Claim, Evidence};
use crate::client::Ledger;

/// G4: no sequence of a campaign was used twice, and its order agrees with that of the
/// epochs.
pub fn sequences(evidence: &Evidence) -> Vec<String> {
    let mut by_campaign: BTreeMap<u32, Vec<&Claim>> = BTreeMap::new();
    for claim in evidence.claims.iter().chain(&evidence.released) {
        by_campaign.entry(claim.campaign_no).or_default().push(claim);
    }
    let mut found = Vec::new();
    for (campaign, mut claims) in by_campaign {
        claims.sort_by_key(|claim| claim.sequence);
        for pair in claims.windows(2) {
            if pair[0].sequence == pair[1].sequence {
                found.push(format!(
                    "G4 campaign {campaign}: sequence {} was used twice",
                    pair[0].sequence
                ));
            }
            if pair[0].admission_epoch > pair[1].admission_epoch {
                found.push(format!(
                    "G4 campaign {campaign}: sequence {} of epoch {} lies before {} of epoch {}",
                    pair[0].sequence, pair[0].admission_epoch, pair[1].sequence, pair[1].admission_epoch
                ));
            }
        }
    }
    found
}

/// G4: tickets follow the order of admission. Holds as long as no ticket was returned:
/// for sales that nothing disturbed.
pub fn tickets_follow(evidence: &Evidence) -> Vec<String> {
    let mut claims: Vec<_> = evidence.claims.iter().collect();
    claims.sort_by_key(|claim| (claim.campaign_no, claim.admission_epoch, claim.sequence));
    let turned = claims.windows(2).filter(|pair| {
        let same =
            pair[0].campaign_no == pair[1].campaign_no && pair[0].admission_epoch == pair[1].admission_epoch;
        same && pair[0].ticket >= pair[1].ticket
    });
    turned
        .map(|pair| {
            format!(
                "G4 ticket {} was given before ticket {}",
                pair[0].ticket, pair[1].ticket
            )
        })
        .collect()
}

/// G4: whoever asked after another had his answer comes behind him.
pub fn arrival(evidence: &Evidence, ledger: &Ledger) -> Vec<String> {
    let claims = evidence.claims.iter().chain(&evidence.released);
    let sequences: BTreeMap<_, _> = claims.map(|claim| (claim.claim_id, claim.sequence)).collect();
    // First answers only: an earlier claim that is shown again says nothing about order.
    let mut seen = BTreeSet::new();
    let mut asked: Vec<_> = ledger
        .entries()
        .into_iter()
        .filter_map(|asked| {
            let crate::client::Answer::Admitted(claim) = &asked.answer else {
                return None;
            };
            let sequence = *sequences.get(&claim.claim_id)?;
            seen.insert(claim.claim_id)
                .then_some((asked.asked_at, asked.answered_at, sequence, asked.user))
        })
        .collect();
    let mut answered = asked.clone();
    asked.sort_by_key(|(asked_at, ..)| *asked_at);
    answered.sort_by_key(|(_, answered_at, ..)| *answered_at);
    let mut found = Vec::new();
    let mut before = answered.into_iter().peekable();
    let mut latest: Option<(u64, String)> = None;
    for (asked_at, _, sequence, user) in asked {
        while let Some((_, _, sequence, user)) =
            before.next_if(|(_, answered_at, ..)| *answered_at < asked_at)
        {
            if latest.as_ref().is_none_or(|(latest, _)| sequence > *latest) {
                latest = Some((sequence, user));
            }
        }
        if let Some((latest, earlier)) = &latest
            && *latest > sequence
        {
            found.push(format!(
                "G4 {earlier} had his answer before {user} asked, but comes later ({latest} > {sequence})"
            ));
        }
    }
    found
}
