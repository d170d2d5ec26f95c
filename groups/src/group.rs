//! The groups there are.

use std::collections::HashSet;

use headgate_domain::claims::release::ReleasedClaim;
use headgate_domain::points::store::Heard;
use headgate_schemas::event::coupons::ClaimAdmitted;
use headgate_schemas::event::{DomainEvent, schemas};
use headgate_schemas::ids::{ClaimId, EventId};
use headgate_schemas::topics::{COUPONS, POINTS, Topic};
use sqlx::{MySql, MySqlConnection, Transaction};

use crate::{Context, DeadEvent, Error, Event, coupon_issuance, notifications, point_balances};

/// A consumer group.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Group {
    /// Turns admitted claims into coupons.
    CouponIssuance,
    /// Keeps a copy of each wallet's balance.
    PointBalances,
    /// Writes down what partners are to be told.
    Notifications,
}

/// What a group wants to happen with one event of a batch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Intent {
    /// Its change is in the transaction.
    Done,
    /// A rule rejects it; nothing of it is in the transaction.
    Reject {
        /// A stable word for the cause.
        class: &'static str,
        /// What is wrong, for people.
        reason: String,
    },
    /// It cannot be applied yet; the transaction must not be committed.
    RetryAfter(std::time::Duration),
}

/// What follows from a batch outside of MySQL, once its transaction is committed. It may be lost:
/// nothing depends on it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AfterCommit {
    /// Claims that are terminal: those who wait for them are told.
    pub settled: Vec<ClaimId>,
    /// Balances that were written down: what is remembered of them is out of date.
    pub heard: Vec<Heard>,
}

/// What became of a batch.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Applied {
    /// One for each event, in their order.
    pub intents: Vec<Intent>,
    /// What is to be told outside of MySQL once the transaction is committed.
    pub after_commit: AfterCommit,
    /// How many of the events changed nothing: what they ask for was done before, though not
    /// by them.
    pub superseded: usize,
}

/// What a group's terminal action did for a discarded event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TerminalAction {
    /// The event carried no promise, or the promise is kept or was given up before.
    Nothing,
    /// The claim was released; its ticket is to be given back in Redis.
    Released(ReleasedClaim),
}

impl Group {
    /// Every group.
    pub const ALL: &'static [Self] = &[Self::CouponIssuance, Self::PointBalances, Self::Notifications];

    /// Its name: in Kafka (under the installation's prefix), in MySQL, in metrics.
    pub const fn name(self) -> &'static str {
        match self {
            Self::CouponIssuance => "coupon-issuance",
            Self::PointBalances => "point-balances",
            Self::Notifications => "notifications",
        }
    }

    /// The group of that name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|group| group.name() == name)
    }

    /// The public topics it reads; it also reads its retry topic of each.
    pub const fn topics(self) -> &'static [Topic] {
        match self {
            Self::CouponIssuance => &[COUPONS],
            Self::PointBalances => &[POINTS],
            Self::Notifications => &[COUPONS, POINTS],
        }
    }

    /// Whether it acts on events of this type; it skips the others.
    pub fn handles(self, event_type: &str) -> bool {
        match self {
            Self::CouponIssuance => event_type == ClaimAdmitted::NAME,
            Self::PointBalances => point_balances::HANDLED.contains(&event_type),
            Self::Notifications => schemas().any(|event| event.name == event_type),
        }
    }

    /// Whether it passes by a record that cannot be read, of which these names of types are known:
    /// because another group, which acts on it, makes a dead letter of it. Nobody can be told
    /// anything of it, and one letter is enough.
    pub fn leaves_to_others(self, names: &[&str]) -> bool {
        match self {
            Self::CouponIssuance | Self::PointBalances => false,
            // Where no type is known every other group of the topic makes one.
            Self::Notifications => {
                let others = || Self::ALL.iter().filter(|other| **other != self);
                names.is_empty() || names.iter().any(|name| others().any(|other| other.handles(name)))
            }
        }
    }

    /// Applies a batch in `transaction`: one intent for each event. After an error
    /// the transaction must be rolled back.
    pub async fn apply(
        self,
        transaction: &mut Transaction<'_, MySql>,
        context: &Context,
        events: &[&Event],
    ) -> Result<Applied, Error> {
        match self {
            Self::CouponIssuance => coupon_issuance::apply(transaction, context, events).await,
            Self::PointBalances => point_balances::apply(transaction, events).await,
            Self::Notifications => notifications::apply(transaction, context, events).await,
        }
    }

    /// Those of the keys of dead letters' records for which what the event asks for was done by
    /// other means. Locks nothing.
    pub async fn superseded<'k>(
        self,
        connection: &mut MySqlConnection,
        keys: &[&'k [u8]],
    ) -> Result<HashSet<&'k [u8]>, Error> {
        match self {
            Self::CouponIssuance => coupon_issuance::superseded(connection, keys).await,
            // Wallets and claims have many events: a key does not say which of them was overtaken.
            Self::PointBalances | Self::Notifications => Ok(HashSet::new()),
        }
    }

    /// Those of `events` (each with the key of its record) whose change is not there, although
    /// the inbox says that they were applied. Reads only.
    pub async fn without_effect(
        self,
        connection: &mut MySqlConnection,
        events: &[(EventId, &str)],
    ) -> Result<Vec<EventId>, Error> {
        match self {
            Self::CouponIssuance => coupon_issuance::without_effect(connection, events).await,
            Self::PointBalances => point_balances::without_effect(connection, events).await,
            // Nobody knows which subscriptions there were then; and what was delivered is removed
            // after a while.
            Self::Notifications => Ok(Vec::new()),
        }
    }

    /// What is due when an event becomes a dead letter of `class`, in its transaction.
    pub async fn on_dead(
        self,
        transaction: &mut Transaction<'_, MySql>,
        context: &Context,
        event: &DeadEvent<'_>,
        class: &str,
    ) -> Result<(), Error> {
        match self {
            Self::CouponIssuance => coupon_issuance::on_dead(transaction, context, event, class).await,
            Self::PointBalances | Self::Notifications => Ok(()),
        }
    }

    /// [`Group::discard`] for a letter of the group called `name`. A group that is no more
    /// has no promises to settle.
    pub async fn discard_for(
        name: &str,
        transaction: &mut Transaction<'_, MySql>,
        context: &Context,
        event: &DeadEvent<'_>,
        actor: &str,
        reason: &str,
    ) -> Result<TerminalAction, Error> {
        match Self::named(name) {
            Some(group) => group.discard(transaction, context, event, actor, reason).await,
            None => Ok(TerminalAction::Nothing),
        }
    }

    /// The terminal action for a dead letter that is discarded, in the discard's
    /// transaction.
    pub async fn discard(
        self,
        transaction: &mut Transaction<'_, MySql>,
        context: &Context,
        event: &DeadEvent<'_>,
        actor: &str,
        reason: &str,
    ) -> Result<TerminalAction, Error> {
        match self {
            Self::CouponIssuance => {
                coupon_issuance::discard(transaction, context, event, actor, reason).await
            }
            // A copy promises nothing: the wallet's next event brings it up to date. And whoever
            // discards a notification has decided that nobody is told.
            Self::PointBalances | Self::Notifications => Ok(TerminalAction::Nothing),
        }
    }
}

#[cfg(test)]
mod tests {
    use headgate_schemas::event::coupons::CouponUsed;

    use super::*;

    #[test]
    fn one_letter_is_enough_for_a_record_that_cannot_be_read() {
        let leaves = |names: &[&str]| Group::Notifications.leaves_to_others(names);
        assert!(leaves(&[]) && leaves(&[ClaimAdmitted::NAME]));
        assert!(!leaves(&[CouponUsed::NAME]), "nobody else acts on it");
        assert!(!Group::CouponIssuance.leaves_to_others(&[]));
    }
}
