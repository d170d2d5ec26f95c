//! The sender: sends what the group `notifications` has written down. Every process takes part:
//! rows are leased one by one, not the work as a whole. Sent is outside of any transaction, at
//! least once: whoever dies between sending and writing that down has it sent again, under the
//! same id.

mod addresses;
mod attempt;
mod mail;
mod outcome;
mod sign;
mod webhook;

use std::collections::HashMap;
use std::time::Duration;

use headgate_domain::notifications::store::{self, Taken};
use headgate_runtime::clock::DatabaseClock;
use headgate_runtime::error_text;
use headgate_runtime::shutdown::CancellationToken;
use sqlx::MySqlPool;
use tokio::task::{Id, JoinSet};

pub use self::mail::Unusable;

use self::mail::Mails;
use self::webhook::Webhooks;
use crate::config::Notifications;

/// Most subscriptions that are taken from in one look.
const SUBSCRIPTIONS_AT_ONCE: u32 = 16;
/// Longest look at what is due.
const LOOK_TIMEOUT: Duration = Duration::from_secs(10);
/// Longest wait for attempts in hand at a stop. What is cut off is sent again.
const STOP_TIMEOUT: Duration = Duration::from_secs(3);

/// The sender cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    /// The HTTP client.
    #[error("the client for webhooks cannot be made")]
    Webhooks(#[from] reqwest::Error),
    /// The mail server.
    #[error("the mail server cannot be used")]
    Mails(#[from] Unusable),
}

/// Sends deliveries.
#[derive(Clone)]
pub(crate) struct Sender {
    pool: MySqlPool,
    clock: DatabaseClock,
    settings: Notifications,
    webhooks: Webhooks,
    mails: Option<Mails>,
}

/// The subscriptions that attempts in hand are for, by task.
type InHand = HashMap<Id, u32>;

impl Sender {
    pub(crate) fn new(
        pool: MySqlPool,
        clock: DatabaseClock,
        settings: Notifications,
    ) -> Result<Self, BuildError> {
        Ok(Self {
            webhooks: Webhooks::new(&settings)?,
            mails: Mails::new(&settings.smtp)?,
            pool,
            clock,
            settings,
        })
    }

    /// Sends what is due, until stopped.
    pub(crate) async fn run(self, stop: CancellationToken) {
        let mut attempts = JoinSet::new();
        let mut in_hand = InHand::new();
        let mut look = tokio::time::interval(self.settings.poll_every);
        look.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            // Where something was due there may be more, as soon as there is room.
            let took = self.fill(&mut attempts, &mut in_hand).await;
            tokio::select! {
                ended = attempts.join_next_with_id(), if !attempts.is_empty() && took => forget(&mut in_hand, ended),
                _ = look.tick() => {}
                () = stop.cancelled() => break,
            }
            while let Some(ended) = attempts.try_join_next_with_id() {
                forget(&mut in_hand, Some(ended));
            }
        }
        let rest = async { while attempts.join_next().await.is_some() {} };
        if tokio::time::timeout(STOP_TIMEOUT, rest).await.is_err() {
            tracing::debug!("deliveries that were under way are sent again");
        }
    }

    /// Begins attempts at what is due, as many as there is room for. Whether there were any.
    async fn fill(&self, attempts: &mut JoinSet<()>, in_hand: &mut InHand) -> bool {
        let taken = match tokio::time::timeout(LOOK_TIMEOUT, self.take(in_hand)).await {
            Ok(Ok(taken)) => taken,
            Ok(Err(error)) => {
                tracing::warn!(
                    error = error_text(&error),
                    "deliveries that are due cannot be taken"
                );
                return false;
            }
            Err(_) => {
                tracing::warn!("deliveries that are due were not taken in time");
                return false;
            }
        };
        let any = !taken.is_empty();
        for taken in taken {
            let (sender, subscription_no) = (self.clone(), taken.subscription_no);
            let task = attempts.spawn(async move { sender.attempt(taken).await });
            in_hand.insert(task.id(), subscription_no);
        }
        any
    }

    /// Leases what is due, so many of each subscription that none takes up all there is room for.
    async fn take(&self, in_hand: &InHand) -> Result<Vec<Taken>, headgate_domain::Error> {
        let mut counts: HashMap<u32, u32> = HashMap::new();
        for subscription_no in in_hand.values() {
            *counts.entry(*subscription_no).or_default() += 1;
        }
        let mut free = self.settings.in_flight_max.saturating_sub(counts.values().sum());
        let most = self.settings.in_flight_per_subscription_max;
        let busy: Vec<u32> = counts
            .iter()
            .filter(|(_, count)| **count >= most)
            .map(|(subscription_no, _)| *subscription_no)
            .collect();
        let mut taken = Vec::new();
        if free == 0 {
            return Ok(taken);
        }
        let limit = free.min(SUBSCRIPTIONS_AT_ONCE);
        let now = self.clock.now();
        for subscription_no in store::due(&self.pool, now, self.mails.is_some(), &busy, limit).await? {
            let begun = counts.get(&subscription_no).copied().unwrap_or_default();
            let room = free.min(most.saturating_sub(begun));
            if room == 0 {
                break;
            }
            let more = self.lease(subscription_no, room).await?;
            free = free.saturating_sub(u32::try_from(more.len()).unwrap_or(u32::MAX));
            taken.extend(more);
        }
        Ok(taken)
    }

    /// Leases due deliveries of one subscription, in a transaction of its own.
    async fn lease(&self, subscription_no: u32, most: u32) -> Result<Vec<Taken>, headgate_domain::Error> {
        let mut transaction = self.pool.begin().await?;
        let now = self.clock.now();
        match store::take(&mut transaction, subscription_no, now, self.settings.lease, most).await {
            Ok(taken) => {
                transaction.commit().await?;
                Ok(taken)
            }
            Err(error) => {
                transaction.rollback().await?;
                Err(error)
            }
        }
    }
}

fn forget(in_hand: &mut InHand, ended: Option<Result<(Id, ()), tokio::task::JoinError>>) {
    match ended {
        Some(Ok((id, ()))) => {
            in_hand.remove(&id);
        }
        Some(Err(error)) => {
            in_hand.remove(&error.id());
            tracing::error!(error = error_text(&error), "an attempt to deliver broke off");
        }
        None => {}
    }
}
