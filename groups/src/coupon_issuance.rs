//! The group `coupon-issuance`: an admitted claim becomes a coupon. It never judges an
//! admission again: a claim that MySQL holds is entitled to its coupon.

use std::collections::{BTreeMap, HashMap, HashSet};

use chrono::TimeDelta;
use headgate_domain::campaigns::{self, Campaign};
use headgate_domain::claims::issue::{self, Issuable};
use headgate_domain::claims::release::release;
use headgate_domain::coupons::{self, NewCoupon};
use headgate_outbox::write::EventWriter;
use headgate_schemas::event::Event as Fact;
use headgate_schemas::event::coupons::{ClaimAdmitted, CouponEvent};
use headgate_schemas::ids::{ClaimId, EventId};
use sqlx::{MySql, MySqlConnection, Transaction};

use crate::{Applied, Context, DeadEvent, Error, Event, Intent, TerminalAction};

/// No claim has the event's id.
const CLAIM_NOT_FOUND: &str = "claim-not-found";
/// The claim was released before its coupon could be issued.
const CLAIM_RELEASED: &str = "claim-released";
/// The event says something else of the claim than MySQL does.
const CLAIM_MISMATCH: &str = "claim-mismatch";

type Tx<'t, 'c> = &'t mut Transaction<'c, MySql>;

/// Issues the coupons of a batch. The stock comes last: its row is the one that all
/// batches of a campaign want, and it is held until the commit is durable.
pub(crate) async fn apply(
    transaction: Tx<'_, '_>,
    context: &Context,
    events: &[&Event],
) -> Result<Applied, Error> {
    let admitted: Vec<_> = events
        .iter()
        .map(|event| (*event, claim_admitted(event)))
        .collect();
    let mut claim_ids: Vec<ClaimId> = admitted
        .iter()
        .filter_map(|(_, claim)| claim.map(|claim| claim.claim_id))
        .collect();
    claim_ids.sort_unstable();
    claim_ids.dedup();
    let mut claims = issue::lock(transaction, &claim_ids).await?;
    let released = released(transaction, &claim_ids, &claims).await?;
    let campaigns = campaigns_of(transaction, context, &claims).await?;

    let mut applied = Applied::default();
    let mut coupons = Vec::with_capacity(claim_ids.len());
    for (event, claim) in admitted {
        let Some(claim) = claim else {
            applied.intents.push(Intent::Done);
            continue;
        };
        let campaign = claims
            .get(&claim.claim_id)
            .and_then(|stored| campaigns.get(&stored.campaign_no));
        let intent = match judge(claim, claims.get(&claim.claim_id), campaign, &released) {
            Verdict::Issue(campaign) => {
                if let Some(stored) = claims.get_mut(&claim.claim_id) {
                    coupons.push(coupon(context, event, claim.claim_id, stored, campaign));
                    // Another event of this claim in the batch finds it issued.
                    stored.is_issued = true;
                }
                Intent::Done
            }
            Verdict::IssuedBefore => {
                applied.superseded += 1;
                Intent::Done
            }
            Verdict::Reject { class, reason } => Intent::Reject { class, reason },
        };
        if intent == Intent::Done {
            applied.after_commit.settled.push(claim.claim_id);
        }
        applied.intents.push(intent);
    }
    issue_all(transaction, context, &campaigns, coupons).await?;
    Ok(applied)
}

fn claim_admitted(event: &Event) -> Option<&ClaimAdmitted> {
    match &event.value {
        Fact::Coupon(CouponEvent::ClaimAdmitted(claim)) => Some(claim),
        _ => None,
    }
}

/// Those of `claim_ids` that are not in `claims` because they were released.
async fn released(
    transaction: Tx<'_, '_>,
    claim_ids: &[ClaimId],
    claims: &HashMap<ClaimId, Issuable>,
) -> Result<HashSet<ClaimId>, Error> {
    let missing: Vec<_> = claim_ids
        .iter()
        .copied()
        .filter(|id| !claims.contains_key(id))
        .collect();
    if missing.is_empty() {
        return Ok(HashSet::new());
    }
    Ok(issue::released_among(transaction, &missing).await?)
}

/// The campaigns of `claims`, by number: ordered, so that stock rows are locked in one
/// order everywhere.
async fn campaigns_of(
    transaction: Tx<'_, '_>,
    context: &Context,
    claims: &HashMap<ClaimId, Issuable>,
) -> Result<BTreeMap<u32, Campaign>, Error> {
    let mut found = BTreeMap::new();
    for claim in claims.values() {
        if found.contains_key(&claim.campaign_no) {
            continue;
        }
        if let Some(campaign) = context.campaigns.get(transaction, claim.campaign_no).await? {
            found.insert(claim.campaign_no, campaign);
        }
    }
    Ok(found)
}

enum Verdict<'c> {
    Issue(&'c Campaign),
    IssuedBefore,
    Reject { class: &'static str, reason: String },
}

fn judge<'c>(
    claim: &ClaimAdmitted,
    stored: Option<&Issuable>,
    campaign: Option<&'c Campaign>,
    released: &HashSet<ClaimId>,
) -> Verdict<'c> {
    let claim_id = claim.claim_id;
    let Some(stored) = stored else {
        return if released.contains(&claim_id) {
            Verdict::Reject {
                class: CLAIM_RELEASED,
                reason: format!("claim {claim_id} was released"),
            }
        } else {
            Verdict::Reject {
                class: CLAIM_NOT_FOUND,
                reason: format!("there is no claim {claim_id}"),
            }
        };
    };
    let mismatch = |what: &str| Verdict::Reject {
        class: CLAIM_MISMATCH,
        reason: format!("the event names another {what} than claim {claim_id} has"),
    };
    match campaign {
        Some(campaign) if campaign.campaign_id != claim.campaign_id => mismatch("campaign"),
        Some(campaign) if campaign.partner_id != claim.partner_id => mismatch("partner"),
        _ if stored.user_id.as_str() != claim.user_id => mismatch("user"),
        _ if stored.ticket.get().cast_signed() != claim.ticket => mismatch("ticket"),
        _ if stored.is_issued => Verdict::IssuedBefore,
        Some(campaign) => Verdict::Issue(campaign),
        None => mismatch("campaign"),
    }
}

fn coupon(
    context: &Context,
    event: &Event,
    claim_id: ClaimId,
    claim: &Issuable,
    campaign: &Campaign,
) -> NewCoupon {
    NewCoupon {
        coupon_id: claim_id,
        campaign_no: claim.campaign_no,
        campaign_id: campaign.campaign_id,
        partner_no: campaign.partner_no,
        partner_id: campaign.partner_id,
        ticket: claim.ticket.get(),
        user_id: claim.user_id.clone(),
        expires_at: context.now + TimeDelta::seconds(i64::from(campaign.valid_for.get())),
        after: claim.last_event,
        traceparent: event.traceparent.clone(),
    }
}

async fn issue_all(
    transaction: Tx<'_, '_>,
    context: &Context,
    campaigns: &BTreeMap<u32, Campaign>,
    mut coupons: Vec<NewCoupon>,
) -> Result<(), Error> {
    if coupons.is_empty() {
        return Ok(());
    }
    let change = context.change(None);
    // In the order of the clustered index.
    coupons.sort_unstable_by_key(|coupon| coupon.coupon_id);
    let mut rows = coupons::store::issue(transaction, change, &coupons).await?;
    rows.sort_unstable_by_key(|row| (row.bucket, row.id));
    EventWriter::write(transaction, &rows).await?;
    let mut sold_out = Vec::new();
    for (campaign_no, campaign) in campaigns {
        let of_campaign = coupons.iter().filter(|coupon| coupon.campaign_no == *campaign_no);
        let taken = u32::try_from(of_campaign.count()).unwrap_or(u32::MAX);
        if taken > 0 {
            let stock = campaigns::store::take_stock(transaction, change, campaign, taken).await;
            if let Err(headgate_domain::Error::Corrupt { .. }) = &stock {
                // More coupons than there ever were: nothing is issued, and somebody is told.
                metrics::counter!("headgate_stock_negative_total").increment(1);
            }
            sold_out.extend(stock?);
        }
    }
    EventWriter::write(transaction, &sold_out).await?;
    Ok(())
}

/// Those of `keys` whose claim has its coupon.
pub(crate) async fn superseded<'k>(
    connection: &mut MySqlConnection,
    keys: &[&'k [u8]],
) -> Result<HashSet<&'k [u8]>, Error> {
    let claims: HashMap<ClaimId, &'k [u8]> = keys
        .iter()
        .filter_map(|key| Some((claim_of(key)?, *key)))
        .collect();
    let ids: Vec<ClaimId> = claims.keys().copied().collect();
    let issued = issue::issued_among(connection, &ids).await?;
    Ok(issued
        .iter()
        .filter_map(|claim_id| claims.get(claim_id).copied())
        .collect())
}

/// Those of `events` whose claim has no coupon. An applied claim has one for ever: coupons are
/// used up and expire, but do not go.
pub(crate) async fn without_effect(
    connection: &mut MySqlConnection,
    events: &[(EventId, &str)],
) -> Result<Vec<EventId>, Error> {
    let claims: Vec<(EventId, Option<ClaimId>)> = events
        .iter()
        .map(|(event_id, key)| (*event_id, key.parse().ok()))
        .collect();
    let claim_ids: Vec<ClaimId> = claims.iter().filter_map(|(_, claim_id)| *claim_id).collect();
    let issued = coupons::store::existing(connection, &claim_ids)
        .await
        .map_err(headgate_domain::Error::from)?;
    let is_issued = |claim_id: &Option<ClaimId>| claim_id.is_some_and(|claim_id| issued.contains(&claim_id));
    Ok(claims
        .into_iter()
        .filter(|(_, claim_id)| !is_issued(claim_id))
        .map(|(event_id, _)| event_id)
        .collect())
}

/// Says in public that the claim's coupon is late.
pub(crate) async fn on_dead(
    transaction: Tx<'_, '_>,
    context: &Context,
    event: &DeadEvent<'_>,
    class: &str,
) -> Result<(), Error> {
    if let Some(claim_id) = promised(event) {
        issue::fail(transaction, context.change(event.traceparent), claim_id, class).await?;
    }
    Ok(())
}

/// Releases the claim: its ticket goes to the next asker.
pub(crate) async fn discard(
    transaction: Tx<'_, '_>,
    context: &Context,
    event: &DeadEvent<'_>,
    actor: &str,
    reason: &str,
) -> Result<TerminalAction, Error> {
    let Some(claim_id) = promised(event) else {
        return Ok(TerminalAction::Nothing);
    };
    let released = release(transaction, &context.writer, claim_id, reason, actor, context.now).await?;
    Ok(released.map_or(TerminalAction::Nothing, TerminalAction::Released))
}

/// The claim whose coupon the event promises. It is read from the key, because the
/// value of a dead letter may be unreadable.
fn promised(event: &DeadEvent<'_>) -> Option<ClaimId> {
    if !event
        .event_type
        .is_some_and(|name| crate::Group::CouponIssuance.handles(name))
    {
        return None;
    }
    claim_of(event.key?)
}

/// The claim that a record of this key is about.
fn claim_of(key: &[u8]) -> Option<ClaimId> {
    std::str::from_utf8(key).ok()?.parse().ok()
}
