//! The group `point-balances`: keeps a copy of each wallet's balance. Events carry the balance
//! that they leave, so that applying one twice, or late, changes nothing.

use std::collections::HashMap;

use headgate_domain::points::store::{self, Heard};
use headgate_schemas::event::points::{
    PointsAccumulated, PointsAccumulationCancelled, PointsCharged, PointsEvent, PointsExpired,
    PointsTransferred, PointsUseCancelled, PointsUsed,
};
use headgate_schemas::event::{DomainEvent, Event as Fact, Timestamp};
use headgate_schemas::ids::{EventId, PartnerId, WalletId};
use headgate_schemas::names::{InvalidName, UserId};
use sqlx::{MySql, MySqlConnection, Transaction};

use crate::{Applied, Error, Event, Intent};

/// The event's numbers or names break the rules of their kind.
const INVALID_VALUE: &str = "invalid-value";

/// What the group acts on: every entry of a ledger.
pub(crate) const HANDLED: [&str; 7] = [
    PointsAccumulated::NAME,
    PointsCharged::NAME,
    PointsUsed::NAME,
    PointsUseCancelled::NAME,
    PointsAccumulationCancelled::NAME,
    PointsTransferred::NAME,
    PointsExpired::NAME,
];

/// Writes down the newest balance of each wallet of a batch.
pub(crate) async fn apply(
    transaction: &mut Transaction<'_, MySql>,
    events: &[&Event],
) -> Result<Applied, Error> {
    let mut applied = Applied::default();
    let mut newest: HashMap<WalletId, Heard> = HashMap::new();
    for event in events {
        let entry = match entry(event).map(Entry::heard).transpose() {
            Ok(entry) => entry,
            Err(error) => {
                applied.intents.push(Intent::Reject {
                    class: INVALID_VALUE,
                    reason: error.to_string(),
                });
                continue;
            }
        };
        applied.intents.push(Intent::Done);
        let Some(heard) = entry else { continue };
        let known = newest.entry(heard.wallet_id).or_insert_with(|| heard.clone());
        if heard.entry_no > known.entry_no {
            *known = heard;
        }
    }
    let mut heard: Vec<Heard> = newest.into_values().collect();
    heard.sort_unstable_by_key(|heard| heard.wallet_id);
    store::hear(transaction, &heard).await?;
    applied.after_commit.heard = heard;
    Ok(applied)
}

/// What every event of an entry says.
struct Entry<'e> {
    wallet_id: WalletId,
    partner_id: PartnerId,
    user_id: &'e str,
    balance: i64,
    entry_no: i64,
    made_at: Timestamp,
}

/// An event says what cannot be.
#[derive(Debug, thiserror::Error)]
enum Invalid {
    #[error("the user's name {0}")]
    User(InvalidName),
    #[error("the {0} is negative")]
    Negative(&'static str),
}

impl Entry<'_> {
    fn heard(self) -> Result<Heard, Invalid> {
        let number = |what, number: i64| u64::try_from(number).map_err(|_| Invalid::Negative(what));
        Ok(Heard {
            wallet_id: self.wallet_id,
            partner_id: self.partner_id,
            user_id: UserId::new(self.user_id).map_err(Invalid::User)?,
            balance: number("balance", self.balance)?,
            entry_no: number("entry number", self.entry_no)?,
            as_of: self.made_at.into(),
        })
    }
}

fn entry(event: &Event) -> Option<Entry<'_>> {
    let Fact::Points(event) = &event.value else {
        return None;
    };
    macro_rules! entry {
        ($event:ident, $made_at:ident) => {
            Entry {
                wallet_id: $event.wallet_id,
                partner_id: $event.partner_id,
                user_id: &$event.user_id,
                balance: $event.balance,
                entry_no: $event.entry_no,
                made_at: $event.$made_at,
            }
        };
    }
    Some(match &**event {
        PointsEvent::PointsAccumulated(event) => entry!(event, accumulated_at),
        PointsEvent::PointsCharged(event) => entry!(event, charged_at),
        PointsEvent::PointsUsed(event) => entry!(event, used_at),
        PointsEvent::PointsUseCancelled(event) => entry!(event, cancelled_at),
        PointsEvent::PointsAccumulationCancelled(event) => entry!(event, cancelled_at),
        PointsEvent::PointsTransferred(event) => entry!(event, transferred_at),
        PointsEvent::PointsExpired(event) => entry!(event, expired_at),
        PointsEvent::PointsExpiring(_) => return None,
    })
}

/// When what an event tells of began.
pub(crate) fn began_at(event: &Event) -> Option<Timestamp> {
    entry(event).map(|entry| entry.made_at)
}

/// Those of `events` whose wallet has no balance here.
pub(crate) async fn without_effect(
    connection: &mut MySqlConnection,
    events: &[(EventId, &str)],
) -> Result<Vec<EventId>, Error> {
    let wallets: Vec<(EventId, Option<WalletId>)> = events
        .iter()
        .map(|(event_id, key)| (*event_id, key.parse().ok()))
        .collect();
    let named: Vec<WalletId> = wallets.iter().filter_map(|(_, wallet_id)| *wallet_id).collect();
    let heard = store::heard_of(connection, &named).await?;
    let is_heard =
        |wallet_id: Option<WalletId>| wallet_id.is_some_and(|wallet_id| heard.contains(&wallet_id));
    Ok(wallets
        .into_iter()
        .filter(|(_, wallet_id)| !is_heard(*wallet_id))
        .map(|(event_id, _)| event_id)
        .collect())
}
