//! Who waits for which claim. One subscription to the channel of settled claims serves
//! the whole process; the message only wakes, and what became of a claim is read from
//! MySQL.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt;
use headgate_runtime::shutdown::{CancellationToken, stopped_within};
use headgate_schemas::ids::ClaimId;
use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio::sync::futures::Notified;

/// Bytes of a claim's id in a message.
const ID_BYTES: usize = 16;
/// Pause before the subscription is made anew.
const RECONNECT_AFTER: Duration = Duration::from_millis(200);
/// Longest wait for the subscription.
const SUBSCRIBE_TIMEOUT: Duration = Duration::from_secs(2);

/// The waiters. Clones share them.
#[derive(Clone)]
pub struct Settled {
    inner: Arc<Inner>,
}

struct Inner {
    waiters_max: usize,
    waiting: Mutex<Waiting>,
    /// The subscription was made anew: messages may have been missed.
    resubscribed: Notify,
}

#[derive(Default)]
struct Waiting {
    claims: HashMap<ClaimId, Claim, ahash::RandomState>,
    waiters: usize,
}

struct Claim {
    settled: Arc<Notify>,
    waiters: usize,
}

impl Settled {
    /// Nobody waits yet.
    pub fn new(waiters_max: u32) -> Self {
        Self {
            inner: Arc::new(Inner {
                waiters_max: usize::try_from(waiters_max).unwrap_or(usize::MAX),
                waiting: Mutex::default(),
                resubscribed: Notify::new(),
            }),
        }
    }

    /// Begins to wait for a claim; `None` if too many wait already.
    pub fn wait_for(&self, claim_id: ClaimId) -> Option<Waiter> {
        let mut waiting = self.inner.waiting.lock();
        if waiting.waiters >= self.inner.waiters_max {
            return None;
        }
        waiting.waiters += 1;
        let claim = waiting.claims.entry(claim_id).or_insert_with(|| Claim {
            settled: Arc::default(),
            waiters: 0,
        });
        claim.waiters += 1;
        Some(Waiter {
            inner: self.inner.clone(),
            claim_id,
            settled: claim.settled.clone(),
        })
    }

    /// Wakes whoever waits for the claims of a message.
    fn announce(&self, message: &[u8]) {
        let waiting = self.inner.waiting.lock();
        if waiting.claims.is_empty() {
            return;
        }
        let (ids, _) = message.as_chunks::<ID_BYTES>();
        for id in ids {
            if let Some(claim) = waiting.claims.get(&ClaimId::from_bytes(*id)) {
                claim.settled.notify_waiters();
            }
        }
    }

    /// Listens to the channel until stopped.
    pub async fn listen(&self, client: &redis::Client, channel: &str, stop: &CancellationToken) {
        while !stop.is_cancelled() {
            match self.subscribed(client, channel, stop).await {
                Ok(()) => tracing::debug!("the subscription to settled claims has ended"),
                Err(error) => tracing::debug!(%error, "settled claims are not heard of"),
            }
            if stopped_within(stop, RECONNECT_AFTER).await {
                return;
            }
        }
    }

    async fn subscribed(
        &self,
        client: &redis::Client,
        channel: &str,
        stop: &CancellationToken,
    ) -> Result<(), redis::RedisError> {
        let subscribing = async {
            let mut connection = client.get_async_pubsub().await?;
            connection.subscribe(channel).await?;
            Ok::<_, redis::RedisError>(connection)
        };
        let Ok(connection) = tokio::time::timeout(SUBSCRIBE_TIMEOUT, subscribing).await else {
            return Ok(());
        };
        let mut messages = connection?.into_on_message();
        self.inner.resubscribed.notify_waiters();
        loop {
            tokio::select! {
                message = messages.next() => match message {
                    Some(message) => self.announce(message.get_payload_bytes()),
                    None => return Ok(()),
                },
                () = stop.cancelled() => return Ok(()),
            }
        }
    }
}

/// A place among the waiters, given up when dropped.
pub struct Waiter {
    inner: Arc<Inner>,
    claim_id: ClaimId,
    settled: Arc<Notify>,
}

impl Waiter {
    /// Wake-ups from now on. Make one before the claim is read: what happens between
    /// the reading and the waiting is not missed.
    pub fn wake_ups(&self) -> WakeUps<'_> {
        WakeUps {
            settled: self.settled.notified(),
            resubscribed: self.inner.resubscribed.notified(),
        }
    }
}

impl Drop for Waiter {
    fn drop(&mut self) {
        let mut waiting = self.inner.waiting.lock();
        waiting.waiters -= 1;
        if let Some(claim) = waiting.claims.get_mut(&self.claim_id) {
            claim.waiters -= 1;
            if claim.waiters == 0 {
                waiting.claims.remove(&self.claim_id);
            }
        }
    }
}

/// What wakes a waiter.
pub struct WakeUps<'w> {
    settled: Notified<'w>,
    resubscribed: Notified<'w>,
}

impl WakeUps<'_> {
    /// Waits for the first.
    pub async fn first(self) {
        tokio::select! {
            () = self.settled => {}
            () = self.resubscribed => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures::FutureExt;

    #[test]
    fn only_who_waits_for_a_claim_is_woken_and_nothing_is_missed() {
        let settled = Settled::new(10);
        let (ours, other) = (ClaimId::generate(), ClaimId::generate());
        let waiters = [ours, ours, other].map(|id| settled.wait_for(id).expect("a place"));
        let wake_ups: Vec<_> = waiters.iter().map(Waiter::wake_ups).collect();
        // Before anybody looks.
        settled.announce(&[ClaimId::generate().as_bytes().as_slice(), ours.as_bytes()].concat());
        let woken: Vec<_> = wake_ups
            .into_iter()
            .map(|wake_up| wake_up.first().now_or_never().is_some())
            .collect();
        assert_eq!(woken, [true, true, false]);
    }

    #[test]
    fn a_new_subscription_wakes_everybody() {
        let settled = Settled::new(10);
        let waiter = settled.wait_for(ClaimId::generate()).expect("a place");
        let wake_ups = waiter.wake_ups();
        settled.inner.resubscribed.notify_waiters();
        assert!(wake_ups.first().now_or_never().is_some());
    }

    #[test]
    fn places_are_limited_and_given_back() {
        let settled = Settled::new(1);
        let id = ClaimId::generate();
        let waiter = settled.wait_for(id).expect("a place");
        assert!(settled.wait_for(id).is_none());
        drop(waiter);
        assert!(settled.inner.waiting.lock().claims.is_empty());
        assert!(settled.wait_for(id).is_some());
    }
}
