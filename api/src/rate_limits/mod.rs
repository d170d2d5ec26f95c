//! Rate limits by key, by user and by address: who floods hears 429, and nobody else does.
//!
//! Every bucket is kept by each process and shared through Redis. A process lets requests through
//! by what it knows of a bucket, and tells Redis of them when they are a tenth of a burst; in the
//! same question it learns what the others let through. So next to no request waits for Redis,
//! and a Redis that is gone leaves each process its own full limits. What that lets through at
//! most, and why it is built so: `docs/decisions/0023`.
//!
//! **Invariant:** a request takes from all of its buckets or from none, and waits for Redis once
//! at most.

mod address;
mod bucket;
mod config;
mod shared;
mod subject;

use std::sync::Arc;
use std::time::{Duration, Instant};

use metrics::Counter;
use moka::policy::EvictionPolicy;
use moka::sync::Cache;
use parking_lot::Mutex;
use redis::aio::ConnectionManager;

use self::bucket::{Bucket, Limit};
use self::config::REMEMBERED;
use self::shared::{Heard, Shared, Told};
use self::subject::Kind;
use crate::problem::{Code, Problem};

pub use address::{ClientAddress, Peer, Proxies};
pub use config::Config;
pub use subject::Subject;

type Buckets = Cache<Box<str>, Arc<Mutex<Bucket>>, ahash::RandomState>;

/// The limits.
pub struct RateLimits {
    config: Config,
    shared: Shared,
    /// By kind: strangers do not push out what is known of users.
    buckets: [Buckets; Kind::ALL.len()],
    begun: Instant,
    counters: Counters,
}

/// One request's place in a bucket.
struct Held {
    kind: Kind,
    limit: Limit,
    name: Box<str>,
    bucket: Arc<Mutex<Bucket>>,
}

/// What a request took.
pub struct Charge(Vec<Held>);

impl Charge {
    /// The request is not to count: it was refused by another limit, or was no stranger's.
    pub fn give_back(&self) {
        for held in &self.0 {
            held.bucket.lock().give_back(&held.limit);
        }
    }
}

enum Taken {
    All,
    /// Nothing was taken: this limit refuses, for so long.
    Refused(Kind, Duration),
    /// Nothing was taken: Redis is to be told first.
    Untold,
}

impl RateLimits {
    /// Full buckets. Nothing else should wait on the connection: a late answer counts as slow.
    pub fn new(connection: ConnectionManager, prefix: &str, config: Config) -> Self {
        let buckets = || {
            Cache::builder()
                .max_capacity(config.remembered_max)
                .time_to_idle(REMEMBERED)
                // Whoever floods is used most recently, and is what has to be remembered.
                .eviction_policy(EvictionPolicy::lru())
                .build_with_hasher(ahash::RandomState::new())
        };
        Self {
            shared: Shared::new(connection, prefix, &config),
            buckets: Kind::ALL.map(|_| buckets()),
            begun: Instant::now(),
            counters: Counters::shown(),
            config,
        }
    }

    /// Counts a request for all of these, or refuses it as `rate-limited` and counts it for none.
    /// Each kind may be named once.
    pub async fn charge(&self, subjects: &[Subject<'_>]) -> Result<Charge, Problem> {
        let held: Vec<_> = subjects.iter().filter_map(|subject| self.hold(subject)).collect();
        let mut taken = take(&held, self.now(), true);
        if matches!(taken, Taken::Untold) {
            self.tell(&held).await;
            taken = take(&held, self.now(), false);
        } else {
            self.counters.by_memory.increment(1);
        }
        match taken {
            Taken::Refused(kind, wait) => Err(self.refused(kind, wait)),
            Taken::All | Taken::Untold => Ok(Charge(held)),
        }
    }

    fn hold(&self, subject: &Subject<'_>) -> Option<Held> {
        let kind = subject.kind();
        let limit = subject.limit(&self.config)?;
        let name = subject.name().into_boxed_str();
        let buckets = &self.buckets[kind as usize];
        let bucket = buckets
            .get(&name)
            .unwrap_or_else(|| buckets.get_with_by_ref(&name, Arc::default));
        Some(Held {
            kind,
            limit,
            name,
            bucket,
        })
    }

    /// Tells Redis what it has to be told of these, and learns what others took.
    async fn tell(&self, held: &[Held]) {
        let now = self.now();
        let due: Vec<_> = held
            .iter()
            .filter_map(|held| {
                let mut bucket = held.bucket.lock();
                bucket.must_tell(&held.limit).then(|| (held, bucket.tell()))
            })
            .collect();
        let told: Vec<_> = due
            .iter()
            .map(|(held, untold)| Told {
                name: &held.name,
                limit: held.limit,
                untold: *untold,
            })
            .collect();
        match self.shared.tell(&told, now).await {
            Heard::Full(full_in) => {
                self.counters.by_redis.increment(1);
                let now = self.now();
                for ((held, _), full_in) in due.iter().zip(full_in) {
                    held.bucket.lock().heard(&held.limit, now, full_in);
                }
            }
            Heard::NotAsked => {
                self.counters.by_fallback.increment(1);
                for (held, untold) in due {
                    held.bucket.lock().untold_again(&held.limit, untold);
                }
            }
            // Telling again what Redis may have heard would count it twice.
            Heard::Unanswered => self.counters.by_fallback.increment(1),
        }
    }

    fn refused(&self, kind: Kind, wait: Duration) -> Problem {
        self.counters.limited[kind as usize].increment(1);
        Problem::try_again(Code::RateLimited, kind.detail(), wait)
    }

    fn now(&self) -> i64 {
        i64::try_from(self.begun.elapsed().as_nanos()).unwrap_or(i64::MAX)
    }
}

/// Takes one from each, or from none. Locks in the order of the kinds, as everybody does.
fn take(held: &[Held], now: i64, may_tell: bool) -> Taken {
    let mut buckets: Vec<_> = held.iter().map(|held| (held, held.bucket.lock())).collect();
    let refusal = buckets
        .iter()
        .filter_map(|(held, bucket)| Some((held.kind, bucket.wait(&held.limit, now)?)))
        .max_by_key(|(_, wait)| *wait);
    if let Some((kind, wait)) = refusal {
        return Taken::Refused(kind, wait);
    }
    if may_tell && buckets.iter().any(|(held, bucket)| bucket.must_tell(&held.limit)) {
        return Taken::Untold;
    }
    for (held, bucket) in &mut buckets {
        bucket.take(&held.limit, now);
    }
    Taken::All
}

struct Counters {
    limited: [Counter; Kind::ALL.len()],
    by_memory: Counter,
    by_redis: Counter,
    by_fallback: Counter,
}

impl Counters {
    /// All of them at 0: an alert on an increase would miss the first of a counter that appears
    /// with it.
    fn shown() -> Self {
        let by = |by| shown(metrics::counter!("headgate_rate_limit_checks_total", "by" => by));
        Self {
            limited: Kind::ALL.map(|kind| {
                shown(metrics::counter!("headgate_rate_limited_total", "limit" => kind.as_str()))
            }),
            by_memory: by("memory"),
            by_redis: by("redis"),
            by_fallback: by("fallback"),
        }
    }
}

fn shown(counter: Counter) -> Counter {
    counter.increment(0);
    counter
}
