//! Taking locks.

use std::sync::Arc;
use std::time::{Duration, Instant};

use backon::{BackoffBuilder, ConstantBuilder};
use redis::aio::ConnectionManager;

use super::claim::Claim;
use super::commands::Commands;
use super::config::Config;
use super::guard::{Guard, Guards};
use super::key::LockKey;
use super::metrics::{self, Outcome};
use super::value::Value;
use crate::breaker::{Breaker, Words};

/// What is said of the locks' breaker.
const WORDS: Words = Words {
    gauge: "headgate_lock_breaker_open",
    opened: "Redis fails or is slow: locks are bypassed",
    closed: "Redis answers: locks are taken again",
};

/// What became of an acquire.
#[must_use]
pub enum Acquisition<H = Guard> {
    /// It is held until the guard is gone.
    Held(H),
    /// Redis was not asked, or did not answer in time: locks are switched off, the breaker is
    /// open, or Redis is slow or away. The caller goes on; the lock of the row in MySQL alone
    /// decides.
    Bypassed,
    /// Somebody else holds it. A user's request answers `wallet-busy`; background work tries
    /// again at its next round.
    Busy,
}

/// What all of a process's locks share.
pub(super) struct Shared {
    pub commands: Commands,
    pub breaker: Breaker,
    pub config: Config,
    holder: String,
}

/// Takes locks in one Redis. Clones share everything.
#[derive(Clone)]
pub struct Locks(Arc<Shared>);

impl Locks {
    /// Over a connection, best one that nothing else waits on: an answer that is late behind
    /// others' commands counts as slow. `prefix` precedes every key; `holder` names the
    /// process to operators, e.g. `api-17`.
    pub fn new(connection: ConnectionManager, config: Config, prefix: &str, holder: &str) -> Self {
        metrics::show();
        Self(Arc::new(Shared {
            commands: Commands::new(connection, prefix, config.command_timeout),
            breaker: Breaker::new(config.breaker.clone(), WORDS),
            config,
            holder: holder.to_owned(),
        }))
    }

    /// For requests of users: asks once and answers [`Acquisition::Busy`] at once. Takes
    /// `command_timeout_ms` at most. Dropping the future gives back what it may have taken.
    pub async fn try_acquire(&self, key: &LockKey) -> Acquisition {
        self.attempt(key, Instant::now()).await
    }

    /// For background work: asks again, with jitter, for `wait_ms`.
    pub async fn acquire(&self, key: &LockKey) -> Acquisition {
        self.attempt(key, self.deadline()).await
    }

    /// [`Self::try_acquire`] for several at once: all of them, or none.
    pub async fn try_acquire_all(&self, keys: &[LockKey]) -> Acquisition<Guards> {
        self.attempt_all(keys, Instant::now()).await
    }

    /// [`Self::acquire`] for several at once: all of them within `wait_ms`, or none. Whatever
    /// order they are named in, two callers never wait for each other.
    pub async fn acquire_all(&self, keys: &[LockKey]) -> Acquisition<Guards> {
        self.attempt_all(keys, self.deadline()).await
    }

    fn deadline(&self) -> Instant {
        Instant::now() + self.0.config.wait
    }

    async fn attempt_all(&self, keys: &[LockKey], deadline: Instant) -> Acquisition<Guards> {
        let mut ordered = keys.to_vec();
        ordered.sort_unstable();
        ordered.dedup();
        let mut guards = Guards::default();
        for key in &ordered {
            let none = match self.attempt(key, deadline).await {
                Acquisition::Held(guard) => {
                    guards.push(guard);
                    continue;
                }
                Acquisition::Bypassed => Acquisition::Bypassed,
                Acquisition::Busy => Acquisition::Busy,
            };
            guards.release().await;
            return none;
        }
        Acquisition::Held(guards)
    }

    async fn attempt(&self, key: &LockKey, deadline: Instant) -> Acquisition {
        let begin = Instant::now();
        let (acquisition, outcome) = self.ask_until(key, deadline).await;
        metrics::count(key.kind(), outcome);
        if outcome != Outcome::Bypassed {
            metrics::waited(key.kind(), begin.elapsed());
        }
        acquisition
    }

    /// Asks at least once.
    async fn ask_until(&self, key: &LockKey, deadline: Instant) -> (Acquisition, Outcome) {
        let mut pauses = ConstantBuilder::new()
            .with_delay(self.0.config.retry_every)
            .without_max_times()
            .with_jitter()
            .with_jitter_seed(rand::random())
            .build();
        loop {
            let asked = self.ask(key).await;
            let left = deadline.saturating_duration_since(Instant::now());
            if asked.1 != Outcome::Busy || left.is_zero() {
                return asked;
            }
            let pause = pauses.next().unwrap_or(Duration::MAX);
            tokio::time::sleep(pause.min(left)).await;
        }
    }

    async fn ask(&self, key: &LockKey) -> (Acquisition, Outcome) {
        let permit = self.0.config.enabled.then(|| self.0.breaker.permit()).flatten();
        let Some(permit) = permit else {
            return (Acquisition::Bypassed, Outcome::Bypassed);
        };
        let claim = Claim::new(&self.0, *key, Value::text(&self.0.holder));
        let asked = Instant::now();
        let answer = claim.acquire().await;
        permit.settle(answer.result.is_ok(), answer.took);
        match answer.result {
            Ok(true) => (Acquisition::Held(Guard::new(claim, asked)), Outcome::Acquired),
            Ok(false) => {
                claim.not_had();
                (Acquisition::Busy, Outcome::Busy)
            }
            // It may have taken effect: the claim's end gives it back.
            Err(error) => {
                tracing::debug!(%key, error = %crate::error_text(&error), "a lock is bypassed");
                (Acquisition::Bypassed, Outcome::Error)
            }
        }
    }
}
