//! The keys that this process remembers.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use arc_swap::ArcSwap;
use chrono::{DateTime, TimeDelta, Utc};
use headgate_domain::Error;
use headgate_domain::partners::{KeyHash, Principal, hash, store};
use headgate_runtime::clock::DatabaseClock;
use headgate_runtime::shutdown::{CancellationToken, stopped_within};
use headgate_schemas::ids::ApiKeyId;
use sqlx::MySqlPool;
use tokio::sync::Semaphore;

use super::shared::SharedKeys;
use crate::config;
use crate::problem::{Code, Problem, RETRY_AFTER};

/// How far back the ends of keys (revoked, or past their overlap) are read: longer than
/// any key is remembered anywhere.
const ENDED_WINDOW: Duration = Duration::from_mins(15);
/// Most of them that are read, of each kind.
const ENDED_MAX: u32 = 10_000;
/// Longest wait for them.
const ENDED_TIMEOUT: Duration = Duration::from_secs(1);
/// How old they may be before memories count for little.
const ENDED_AGE_MAX: TimeDelta = TimeDelta::seconds(4);
/// How long a key is remembered while they cannot be read.
const REMEMBERED_BLINDLY: TimeDelta = TimeDelta::seconds(3);
/// How long an unknown key is remembered.
const UNKNOWN_REMEMBERED: Duration = Duration::from_secs(5);
/// Keys that are looked up in MySQL at the same time: whoever tries keys at random
/// does not take the pool from others.
const LOOKUPS_AT_ONCE: usize = 4;
/// Longest that a lookup may take in all.
const LOOKUP_TIMEOUT: Duration = Duration::from_secs(5);

/// A key, as it was when MySQL was read.
#[derive(Clone, Debug)]
pub(super) struct Known {
    pub principal: Arc<Principal>,
    /// By MySQL's clock.
    pub read_at: DateTime<Utc>,
}

/// What is known of keys.
pub struct KeyRing {
    pool: MySqlPool,
    clock: DatabaseClock,
    shared: SharedKeys,
    settings: config::Keys,
    known: moka::future::Cache<KeyHash, Known, ahash::RandomState>,
    unknown: moka::future::Cache<KeyHash, (), ahash::RandomState>,
    ended: ArcSwap<HashSet<ApiKeyId>>,
    /// When they were read, in microseconds of MySQL's clock.
    ended_read_at: AtomicI64,
    lookups: Semaphore,
}

impl KeyRing {
    /// A ring that knows no key yet.
    pub fn new(
        pool: MySqlPool,
        clock: DatabaseClock,
        redis: redis::aio::ConnectionManager,
        prefix: &str,
        settings: config::Keys,
    ) -> Self {
        let known = moka::future::Cache::builder()
            .max_capacity(settings.remembered_max)
            .time_to_live(settings.remembered)
            .build_with_hasher(ahash::RandomState::new());
        let unknown = moka::future::Cache::builder()
            .max_capacity(settings.unknown_max)
            .time_to_live(UNKNOWN_REMEMBERED)
            .build_with_hasher(ahash::RandomState::new());
        Self {
            pool,
            clock,
            shared: SharedKeys::new(redis, prefix, settings.remembered),
            settings,
            known,
            unknown,
            ended: ArcSwap::default(),
            ended_read_at: AtomicI64::new(0),
            lookups: Semaphore::new(LOOKUPS_AT_ONCE),
        }
    }

    /// Who presents this key; `None` if it is not valid.
    pub async fn find(&self, presented: &[u8]) -> Result<Option<Arc<Principal>>, Problem> {
        let Some(hash) = hash(presented) else {
            return Ok(None);
        };
        if let Some(known) = self.known.get(&hash).await
            && self.still_good(&known)
        {
            return Ok(self.valid(&known));
        }
        if self.unknown.contains_key(&hash) {
            return Ok(None);
        }
        match tokio::time::timeout(LOOKUP_TIMEOUT, self.look_up(hash)).await {
            Ok(Ok(known)) => Ok(known.and_then(|known| self.valid(&known))),
            Ok(Err(error)) => Err(error.into()),
            Err(_) => {
                let detail = "the key could not be checked in time";
                Err(Problem::try_again(Code::ServiceUnavailable, detail, RETRY_AFTER))
            }
        }
    }

    /// Whether a memory may still be believed. While the ends of keys cannot be read, only
    /// for moments.
    fn still_good(&self, known: &Known) -> bool {
        let now = self.clock.now();
        let age = now - known.read_at;
        let read_at = DateTime::from_timestamp_micros(self.ended_read_at.load(Ordering::Relaxed));
        let seeing = read_at.is_some_and(|read_at| now - read_at < ENDED_AGE_MAX);
        if seeing {
            age.to_std().unwrap_or_default() < self.settings.remembered
        } else {
            age < REMEMBERED_BLINDLY
        }
    }

    /// The holder, unless the key was revoked or is past its end.
    fn valid(&self, known: &Known) -> Option<Arc<Principal>> {
        let principal = &known.principal;
        let ended = self.ended.load().contains(&principal.key_id);
        (!ended && principal.holds_at(self.clock.now())).then(|| principal.clone())
    }

    /// Asks Redis, then MySQL. Of many requests at once a few ask; the others then find
    /// what they brought.
    async fn look_up(&self, hash: KeyHash) -> Result<Option<Known>, Error> {
        let _turn = self.lookups.acquire().await;
        if let Some(known) = self.known.get(&hash).await
            && self.still_good(&known)
        {
            return Ok(Some(known));
        }
        if let Some(known) = self.shared.get(&hash).await
            && self.still_good(&known)
        {
            self.known.insert(hash, known.clone()).await;
            return Ok(Some(known));
        }
        let read_at = self.clock.now();
        metrics::counter!("headgate_key_lookups_total").increment(1);
        let Some(principal) = store::find_by_key_hash(&self.pool, &hash).await? else {
            self.known.invalidate(&hash).await;
            self.unknown.insert(hash, ()).await;
            return Ok(None);
        };
        let known = Known {
            principal: Arc::new(principal),
            read_at,
        };
        self.shared.put(&hash, &known).await;
        self.known.insert(hash, known.clone()).await;
        Ok(Some(known))
    }

    /// Reads which keys have ended, once. What is read stays if that fails.
    pub async fn read_ends(&self) {
        let begun_at = self.clock.now();
        let read = store::ended_lately(&self.pool, ENDED_WINDOW, ENDED_MAX);
        match tokio::time::timeout(ENDED_TIMEOUT, read).await {
            Ok(Ok(ended)) => {
                self.ended.store(Arc::new(ended.into_iter().collect()));
                self.ended_read_at
                    .store(begun_at.timestamp_micros(), Ordering::Relaxed);
            }
            Ok(Err(error)) => tracing::debug!(%error, "the ends of keys could not be read"),
            Err(_) => tracing::debug!("the ends of keys could not be read in time"),
        }
    }

    /// Goes on reading which keys have ended, until stopped.
    pub async fn watch_ends(&self, stop: &CancellationToken) {
        while !stopped_within(stop, self.settings.revocations_every).await {
            self.read_ends().await;
        }
    }
}
