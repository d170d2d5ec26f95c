//! The keys that this process remembers.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use arc_swap::ArcSwap;
use chrono::{DateTime, TimeDelta, Utc};
use headgate_domain::partners::{KeyHash, Principal, hash, store};
use headgate_runtime::clock::DatabaseClock;
use headgate_runtime::shutdown::{CancellationToken, stopped_within};
use headgate_schemas::ids::ApiKeyId;
use sqlx::MySqlPool;
use tokio::sync::{Mutex, Semaphore};

use super::caller::Stranger;
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
/// Keys that are looked up in MySQL at the same time, those of strangers and those that were
/// valid lately each: whoever tries keys at random takes the pool from nobody, and a key in use
/// never queues behind him.
const LOOKUPS_AT_ONCE: usize = 4;
/// Strangers' keys that may wait for their lookup; more are answered 503.
const STRANGERS_MAX: usize = 64;
/// How long it is remembered that a key was valid, when that is not believed any more.
const MET: Duration = ENDED_WINDOW;
/// How long a lookup that is under way is found by others who want the same key.
const ASKING: Duration = LOOKUP_TIMEOUT.saturating_mul(2);
/// Longest that a lookup may take in all.
const LOOKUP_TIMEOUT: Duration = Duration::from_secs(5);

/// A key, as it was when MySQL was read.
#[derive(Clone, Debug)]
pub(super) struct Known {
    pub principal: Arc<Principal>,
    /// By MySQL's clock.
    pub read_at: DateTime<Utc>,
}

/// What this process remembers of a key.
pub enum Recalled {
    /// It is valid.
    Valid(Arc<Principal>),
    /// It is not.
    Invalid,
    /// Nothing that may be believed: it has to be looked up.
    Forgotten(Forgotten),
}

/// A key to look up.
#[derive(Clone, Copy)]
pub struct Forgotten {
    hash: KeyHash,
    /// Whether it was valid lately: no stranger's.
    pub is_met: bool,
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
    /// Who asks for which key: of many requests under one key, one asks.
    asking: moka::sync::Cache<KeyHash, Arc<Mutex<()>>, ahash::RandomState>,
    lookups_of_met: Semaphore,
    lookups_of_strangers: Semaphore,
    strangers: Semaphore,
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
            .time_to_live(settings.remembered.max(MET))
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
            asking: moka::sync::Cache::builder()
                .max_capacity(settings.unknown_max)
                .time_to_live(ASKING)
                .build_with_hasher(ahash::RandomState::new()),
            lookups_of_met: Semaphore::new(LOOKUPS_AT_ONCE),
            lookups_of_strangers: Semaphore::new(LOOKUPS_AT_ONCE),
            strangers: Semaphore::new(STRANGERS_MAX),
        }
    }

    /// What is remembered of the presented key. Asks nobody.
    pub async fn recall(&self, presented: &[u8]) -> Recalled {
        let Some(hash) = hash(presented) else {
            return Recalled::Invalid;
        };
        let known = self.known.get(&hash).await;
        match &known {
            Some(known) if self.still_good(known) => {
                self.valid(known).map_or(Recalled::Invalid, Recalled::Valid)
            }
            _ if self.unknown.contains_key(&hash) => Recalled::Invalid,
            _ => Recalled::Forgotten(Forgotten {
                hash,
                is_met: known.is_some(),
            }),
        }
    }

    /// Who holds this key; `None` if it is not valid. Then `stranger` is charged, and before anybody
    /// is asked.
    pub(super) async fn look_up(
        &self,
        key: Forgotten,
        stranger: &Stranger<'_>,
    ) -> Result<Option<Arc<Principal>>, Problem> {
        let asked = tokio::time::timeout(LOOKUP_TIMEOUT, self.ask(key, stranger)).await;
        let known = asked.unwrap_or_else(|_| {
            let detail = "the key could not be checked in time";
            Err(Problem::try_again(Code::ServiceUnavailable, detail, RETRY_AFTER))
        })?;
        Ok(known.and_then(|known| self.valid(&known)))
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

    /// Asks Redis, then MySQL. Of many requests at once one asks, and is charged for it; the others
    /// then find what it brought. So a key in use that a new process has yet to meet is not taken
    /// for a flood of strangers.
    async fn ask(&self, key: Forgotten, stranger: &Stranger<'_>) -> Result<Option<Known>, Problem> {
        let hash = key.hash;
        let asking = self.asking.get_with(hash, Arc::default);
        let _turn = asking.lock().await;
        if let Some(known) = self.known.get(&hash).await
            && self.still_good(&known)
        {
            return Ok(Some(known));
        }
        if self.unknown.contains_key(&hash) {
            stranger.charge().await?;
            return Ok(None);
        }
        if key.is_met {
            return self.read_beside(hash, &self.lookups_of_met).await;
        }
        let charge = stranger.charge().await?;
        let Ok(_place) = self.strangers.try_acquire() else {
            let detail = "too many unknown keys are being looked up";
            return Err(Problem::try_again(Code::Overloaded, detail, RETRY_AFTER));
        };
        let known = self.read_beside(hash, &self.lookups_of_strangers).await?;
        if known.is_some() {
            charge.give_back();
        }
        Ok(known)
    }

    /// Asks Redis, then MySQL with as few others as `lookups` allows.
    async fn read_beside(&self, hash: KeyHash, lookups: &Semaphore) -> Result<Option<Known>, Problem> {
        if let Some(known) = self.shared.get(&hash).await
            && self.still_good(&known)
        {
            self.known.insert(hash, known.clone()).await;
            return Ok(Some(known));
        }
        let _permit = lookups.acquire().await;
        self.read(hash).await
    }

    /// Asks MySQL, and remembers what it says.
    async fn read(&self, hash: KeyHash) -> Result<Option<Known>, Problem> {
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
