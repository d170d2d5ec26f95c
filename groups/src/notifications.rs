//! The group `notifications`: writes a delivery for each subscription that wants to hear of an
//! event. Nothing is sent here: a sender does that, outside of any transaction.

use std::collections::BTreeSet;

use headgate_domain::notifications::Payload;
use headgate_domain::notifications::store::{self, Matching, NewDelivery};
use headgate_schemas::codec::public;
use headgate_schemas::ids::PartnerId;
use sqlx::{MySql, Transaction};

use crate::{Applied, Context, Error, Event, Intent};

/// The event cannot be shown as JSON.
const UNSPEAKABLE: &str = "invalid-value";

/// Writes the deliveries of a batch.
pub(crate) async fn apply(
    transaction: &mut Transaction<'_, MySql>,
    context: &Context,
    events: &[&Event],
) -> Result<Applied, Error> {
    let mut applied = Applied::default();
    if events.is_empty() {
        return Ok(applied);
    }
    let partners: BTreeSet<PartnerId> = events.iter().map(|event| event.value.partner_id()).collect();
    let partners: Vec<PartnerId> = partners.into_iter().collect();
    let subscriptions = store::matching(&mut **transaction, &partners).await?;
    let mut deliveries = Vec::new();
    for event in events {
        let wanted: Vec<&Matching> = subscriptions
            .iter()
            .filter(|subscription| is_wanted(subscription, event))
            .collect();
        applied.intents.push(match of_event(event, &wanted) {
            Ok(of_event) => {
                deliveries.extend(of_event);
                Intent::Done
            }
            Err(error) => Intent::Reject {
                class: UNSPEAKABLE,
                reason: error.to_string(),
            },
        });
    }
    store::insert(transaction, &deliveries, context.now).await?;
    Ok(applied)
}

fn is_wanted(subscription: &Matching, event: &Event) -> bool {
    let name = event.value.name();
    subscription.partner_id == event.value.partner_id()
        && subscription
            .event_types
            .names()
            .iter()
            .any(|wanted| wanted == name)
}

/// A delivery for each of the subscriptions.
fn of_event(event: &Event, wanted: &[&Matching]) -> Result<Vec<NewDelivery>, serde_json::Error> {
    if wanted.is_empty() {
        return Ok(Vec::new());
    }
    let body = serde_json::to_vec(&public(&event.value)?)?;
    let deliveries = wanted.iter().map(|subscription| NewDelivery {
        subscription_no: subscription.subscription_no,
        event_id: event.id,
        event_type: event.value.name().to_owned(),
        aggregate_id: event.value.aggregate_id(),
        sequence: event.sequence,
        event_time: event.time.unwrap_or_else(|| event.id.timestamp()),
        body: match subscription.payload {
            Payload::Full => Some(body.clone()),
            Payload::Zero => None,
        },
    });
    Ok(deliveries.collect())
}
