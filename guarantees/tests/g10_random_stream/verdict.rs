//! What must be true in the end.

use std::collections::{BTreeMap, BTreeSet};

use headgate_guarantees::Installation;
use headgate_testkit::checkers::{Evidence, assert_none, letters};
use sqlx::MySqlPool;
use uuid::Uuid;

use super::clean::Clean;
use super::plan::Kind;
use super::world::World;

/// Tables as lines of text, without what the clock and the dice gave them. A claim whose
/// coupon was late has said so, as often as a letter of its key was buried: those events are
/// looked at apart, and here their numbers are taken out.
const TABLES: [(&str, &str); 5] = [
    (
        "campaigns",
        "SELECT CONCAT_WS(' ', campaign_no, BIN_TO_UUID(campaign_id), partner_no, quota, state) FROM campaigns",
    ),
    (
        "stock",
        "SELECT CONCAT_WS(' ', campaign_no, remaining, issued, event_sequence) FROM campaign_stock",
    ),
    (
        "claims",
        "SELECT CONCAT_WS(' ', campaign_no, ticket, BIN_TO_UUID(claim_id), CAST(user_id AS CHAR), admission_epoch,
             c.sequence, admitted_at, c.event_sequence - COALESCE(l.late, 0))
         FROM claims c LEFT JOIN late l ON l.claim = BIN_TO_UUID(c.claim_id)",
    ),
    (
        "coupons",
        "SELECT CONCAT_WS(' ', BIN_TO_UUID(coupon_id), campaign_no, partner_no, ticket, CAST(user_id AS CHAR), state,
             c.event_sequence - COALESCE(l.late, 0))
         FROM coupons c LEFT JOIN late l ON l.claim = BIN_TO_UUID(c.coupon_id)",
    ),
    (
        "events",
        "SELECT CONCAT_WS(' ', e.event_type, e.aggregate_type, e.aggregate, e.topic, e.sequence - COALESCE(l.late, 0))
         FROM said e LEFT JOIN late l ON l.claim = e.aggregate
         WHERE e.event_type LIKE '%.ClaimIssued' OR e.event_type LIKE '%.CampaignSoldOut'",
    ),
];

/// What was said in public, of what.
const SAID: &str = "WITH said AS (
        SELECT event_type, CAST(aggregate_type AS CHAR) AS aggregate_type, CAST(aggregate_id AS CHAR) AS aggregate,
            SUBSTRING_INDEX(topic, '.', -2) AS topic, sequence
        FROM outbox WHERE raw_headers IS NULL
        UNION ALL SELECT event_type, CAST(aggregate_type AS CHAR), CAST(aggregate_id AS CHAR),
            SUBSTRING_INDEX(topic, '.', -2), sequence
        FROM outbox_archive WHERE raw_headers IS NULL),
    late AS (SELECT aggregate AS claim, COUNT(*) AS late FROM said WHERE event_type LIKE '%.ClaimFailed'
        GROUP BY aggregate) ";

/// Compares an installation at rest with the plan, and with the clean one.
pub async fn check(installation: &Installation, world: &World, clean: &Clean) {
    let evidence = Evidence::collect(installation.environment()).await;
    assert_none(&letters::accounted(&evidence));
    let mut wrong = Vec::new();
    wrong.extend(inbox(&evidence, world));
    wrong.extend(open_letters(&evidence, world));
    wrong.extend(late(&evidence, world));
    wrong.extend(order(installation.environment().pool(), world).await);
    world.clear().await;
    for (table, query) in TABLES {
        let (found, wanted) = (
            lines(installation.environment().pool(), query).await,
            lines(clean.installation.environment().pool(), query).await,
        );
        let missing = wanted.iter().filter(|line| !found.contains(line));
        wrong.extend(missing.map(|line| format!("{table}: `{line}` is missing")));
        let more = found.iter().filter(|line| !wanted.contains(line));
        wrong.extend(more.map(|line| format!("{table}: `{line}` is not of the clean stream")));
        if found.len() != wanted.len() {
            wrong.push(format!("{table}: {} rows, not {}", found.len(), wanted.len()));
        }
    }
    assert_none(&wrong);
}

async fn lines(pool: &MySqlPool, query: &'static str) -> Vec<String> {
    let query = sqlx::AssertSqlSafe(format!("{SAID}{query}"));
    sqlx::query_scalar(query)
        .fetch_all(pool)
        .await
        .expect("the tables can be read")
}

/// What each event must be in the inbox, and nothing else is there.
fn inbox(evidence: &Evidence, world: &World) -> Vec<String> {
    let mut wanted: BTreeMap<Uuid, &str> = BTreeMap::new();
    for (applied, open) in world.plan.ends().into_values() {
        let event = |number: &usize| world.sent[*number].event_id;
        wanted.extend(applied.iter().map(|number| (event(number), "applied")));
        wanted.extend(open.iter().take(1).map(|number| (event(number), "dead")));
        wanted.extend(open.iter().skip(1).map(|number| (event(number), "parked")));
    }
    let found: BTreeMap<Uuid, &str> = evidence
        .inbox
        .iter()
        .map(|seen| (seen.event_id, seen.state.as_str()))
        .collect();
    let events: BTreeSet<&Uuid> = wanted.keys().chain(found.keys()).collect();
    let differing = events
        .into_iter()
        .filter(|event| wanted.get(event) != found.get(event));
    differing
        .map(|event| {
            format!(
                "event {event} is {:?} in the inbox, not {:?}",
                found.get(event),
                wanted.get(event)
            )
        })
        .collect()
}

/// The letters that are not settled, key by key and in order, and who never had one.
fn open_letters(evidence: &Evidence, world: &World) -> Vec<String> {
    let mut wrong = Vec::new();
    let mut may_be_dead: BTreeSet<Uuid> = BTreeSet::new();
    for (key, (applied, open)) in world.plan.ends() {
        let name = world.sent[applied.first().or(open.first()).copied().unwrap_or_default()]
            .record
            .key
            .clone();
        let wanted: Vec<_> = open
            .iter()
            .enumerate()
            .map(|(place, number)| {
                let disposition = match (place, world.plan.events[*number].kind) {
                    (0, Kind::Junk(_)) => "poison",
                    (0, Kind::Claim { .. }) => "rejected",
                    _ => "parked",
                };
                (world.sent[*number].event_id, disposition, "open")
            })
            .collect();
        let of_key = evidence.letters.iter().filter(|letter| letter.record_key == name);
        let found: Vec<_> = of_key
            .filter(|letter| letter.state != "resolved")
            .map(|letter| {
                (
                    letter.event_id,
                    letter.disposition.as_str(),
                    letter.state.as_str(),
                )
            })
            .collect();
        if found != wanted {
            wrong.push(format!(
                "key {key} ends with the letters {found:?}, not {wanted:?}"
            ));
        }
        // Whatever came before the first event with which anything was ever wrong.
        let numbers = applied.iter().chain(&open);
        let dead = numbers.skip_while(|number| world.plan.events[**number].is_sound());
        may_be_dead.extend(dead.map(|number| world.sent[*number].event_id));
    }
    let innocent = evidence
        .letters
        .iter()
        .filter(|letter| !may_be_dead.contains(&letter.event_id));
    wrong.extend(innocent.map(|letter| {
        format!(
            "event {} had a letter ({}), but nothing was wrong with it",
            letter.event_id, letter.disposition
        )
    }));
    wrong
}

/// A key's own claim says that its coupon is late whenever a letter of the key is buried
/// before it is issued; and never otherwise.
fn late(evidence: &Evidence, world: &World) -> Vec<String> {
    let issued: BTreeSet<Uuid> = evidence.coupons.iter().map(|coupon| coupon.coupon_id).collect();
    let mut wrong = Vec::new();
    for key in world.plan.by_key().into_keys() {
        let Some(leader) = world.leader(key) else { continue };
        let name = leader.to_string();
        let letters = evidence
            .letters
            .iter()
            .filter(|letter| letter.record_key.as_deref() == Some(name.as_bytes()));
        let letters = letters.count();
        let said = evidence
            .events
            .iter()
            .filter(|event| event.aggregate() == name && !event.is_copy());
        let said: Vec<_> = said.map(|event| (event.sequence, event.kind())).collect();
        let failed = said.iter().filter(|(_, kind)| *kind == "ClaimFailed").count();
        let at_least = if issued.contains(&leader) { 0 } else { letters };
        if failed < at_least || failed > letters {
            wrong.push(format!(
                "claim {name} was said to be late {failed} times, with {letters} letters of its key"
            ));
        }
        let mut numbers: Vec<u64> = said.iter().map(|(sequence, _)| *sequence).collect();
        numbers.sort_unstable();
        // The first is its admission, which the test took out of the outbox.
        if !numbers.iter().copied().eq(2..2 + numbers.len() as u64) {
            wrong.push(format!("claim {name} has events numbered {numbers:?}"));
        }
    }
    wrong
}

/// The coupons of each key were issued in the order of its events.
async fn order(pool: &MySqlPool, world: &World) -> Vec<String> {
    let issued: Vec<String> = sqlx::query_scalar(
        "SELECT CAST(aggregate_id AS CHAR) FROM outbox_archive WHERE event_type LIKE '%.ClaimIssued' ORDER BY id",
    )
    .fetch_all(pool)
    .await
    .expect("the archive can be read");
    let places: BTreeMap<&str, usize> = issued
        .iter()
        .enumerate()
        .map(|(place, claim)| (claim.as_str(), place))
        .collect();
    let keys = world.plan.by_key().into_iter();
    let turned = keys.filter(|(_, numbers)| {
        let claims = numbers.iter().filter_map(|number| world.sent[*number].claim);
        !claims
            .filter_map(|claim| places.get(claim.to_string().as_str()))
            .is_sorted()
    });
    turned
        .map(|(key, _)| format!("the coupons of key {key} were not issued in the order of its events"))
        .collect()
}
