//! Keeps a lock while its guard lives, and gives it back afterwards. One task a lock, so
//! that a renewal never comes after the release.

use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use super::claim::Claim;
use super::metrics::{self, Outcome};
use crate::shutdown::CancellationToken;

/// A holder believes in its lease for a hundredth less than Redis does: clocks differ in rate.
const DRIFT_DIVISOR: u32 = 100;

/// Until when a holder believes to hold its lock. Once lost it stays lost.
pub(super) struct Belief(Mutex<Option<Instant>>);

impl Belief {
    pub fn holds(&self) -> bool {
        self.0.lock().is_some_and(|until| Instant::now() < until)
    }

    /// The lease counts from when it was asked for: Redis may have begun it at once.
    fn extend(&self, asked: Instant, lease: Duration) {
        if let Some(until) = &mut *self.0.lock() {
            *until = believed(asked, lease);
        }
    }

    /// Whether it was not lost before.
    fn lose(&self) -> bool {
        self.0.lock().take().is_some()
    }
}

fn believed(asked: Instant, lease: Duration) -> Instant {
    asked + lease.saturating_sub(lease / DRIFT_DIVISOR)
}

pub(super) struct Watchdog {
    claim: Claim,
    belief: Arc<Belief>,
    taken: Instant,
    hold_until: Instant,
}

impl Watchdog {
    /// Over a lock that was asked for at `asked` and is held.
    pub fn new(claim: Claim, asked: Instant) -> Self {
        let config = &claim.shared().config;
        let until = believed(asked, config.lease);
        let hold_until = asked + config.hold_max;
        Self {
            claim,
            belief: Arc::new(Belief(Mutex::new(Some(until)))),
            taken: Instant::now(),
            hold_until,
        }
    }

    pub fn belief(&self) -> Arc<Belief> {
        self.belief.clone()
    }

    /// Runs until the guard is gone.
    pub async fn run(self, stop: CancellationToken) {
        tokio::select! {
            () = stop.cancelled() => {}
            () = self.renew() => stop.cancelled().await,
        }
        metrics::held(self.claim.key().kind(), self.taken.elapsed());
        self.give_back().await;
    }

    /// Renews until the lock is lost, or held for as long as anybody may.
    async fn renew(&self) {
        let config = &self.claim.shared().config;
        loop {
            tokio::time::sleep(config.renew_every()).await;
            let asked = Instant::now();
            let left = self.hold_until.saturating_duration_since(asked);
            // Whoever slept past its lease must not take it up again: another may have had it.
            if !self.belief.holds() || left.as_millis() == 0 {
                return self.lose();
            }
            let lease = config.lease.min(left);
            match self.claim.renew(lease).await {
                Ok(true) => self.belief.extend(asked, lease),
                Ok(false) => return self.lose(),
                // There is time for another attempt.
                Err(error) => {
                    tracing::debug!(key = %self.claim.key(), error = %crate::error_text(&error), "a lock is not renewed");
                }
            }
            if lease < config.lease {
                let held_ms = self.taken.elapsed().as_millis();
                tracing::warn!(key = %self.claim.key(), held_ms, "a lock is held too long: it is not renewed any more");
                return;
            }
        }
    }

    fn lose(&self) {
        if self.belief.lose() {
            let key = self.claim.key();
            metrics::count(key.kind(), Outcome::Lost);
            tracing::warn!(%key, held_ms = self.taken.elapsed().as_millis(), "a lock was lost while it was held");
        }
    }

    async fn give_back(mut self) {
        if !self.belief.holds() {
            self.lose();
        }
        // While Redis is left alone the caller does not wait for it either; the claim's end
        // sees to it.
        if !self.claim.shared().breaker.is_closed() {
            return;
        }
        match self.claim.release().await {
            Ok(true) => {}
            Ok(false) => self.lose(),
            Err(error) => {
                tracing::debug!(key = %self.claim.key(), error = %crate::error_text(&error), "a lock is given back later");
            }
        }
    }
}
