//! Values that Redis remembers beside MySQL (cache-aside).
//!
//! **Invariant:** what is older than a version that was [outdated](Cache::outdate) is not put back
//! by somebody who read it before and comes late: every value has the version of what it was made
//! of, and Redis compares. Redis may forget all of it at any time. If it was away when something
//! changed, a value is out of date for as long as it is remembered, and no longer; its reader says
//! as of when it is.

mod key;

use std::sync::Arc;
use std::time::{Duration, Instant};

use rand::RngExt;
use redis::aio::ConnectionManager;
use redis::{RedisError, Script};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::breaker::{self, Breaker, Words};

pub use key::CacheKey;

/// Longest wait for one answer of Redis: MySQL is there too.
const TIMEOUT: Duration = Duration::from_millis(50);
/// Digits of a version, before the value.
const VERSION_DIGITS: usize = 20;
/// A value is remembered up to this part less than it may be: what was read together is not read
/// together again.
const JITTER: f64 = 0.3;
/// How long a version is known after it was written: longer than anybody holds in hand what was
/// read before.
const OUTDATED_KNOWN: Duration = Duration::from_mins(1);
/// Keys that are outdated by one command.
const OUTDATED_AT_ONCE: usize = 256;

/// When Redis is not asked for a while: readers must not wait for one that hangs.
const BREAKER: breaker::Config = breaker::Config {
    failures_max: 20,
    window: Duration::from_secs(10),
    open: Duration::from_secs(2),
    slow: Duration::from_millis(25),
};
const WORDS: Words = Words {
    gauge: "headgate_cache_breaker_open",
    opened: "Redis fails or is slow: what it remembers is not asked for",
    closed: "Redis answers: what it remembers is asked for again",
};

/// A value that is remembered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cached<T> {
    /// The version of what it was made of.
    pub version: u64,
    /// It.
    pub value: T,
}

/// The values in one Redis. Clones share the connection.
#[derive(Clone)]
pub struct Cache {
    connection: ConnectionManager,
    prefix: String,
    fill: Script,
    outdate: Script,
    breaker: Arc<Breaker>,
}

impl Cache {
    /// `prefix` precedes every key.
    pub fn new(connection: ConnectionManager, prefix: &str) -> Self {
        Self {
            connection,
            prefix: prefix.to_owned(),
            fill: Script::new(include_str!("scripts/fill.lua")),
            outdate: Script::new(include_str!("scripts/outdate.lua")),
            breaker: Arc::new(Breaker::new(BREAKER, WORDS)),
        }
    }

    /// What is remembered; `None` if nothing is, or Redis is silent or says something else.
    pub async fn get<T: DeserializeOwned>(&self, key: &CacheKey) -> Option<Cached<T>> {
        let mut connection = self.connection.clone();
        let mut command = redis::cmd("GET");
        command.arg(self.name(key));
        let stored: Option<Vec<u8>> = self.if_well(command.query_async(&mut connection)).await?;
        let found = stored.and_then(|stored| read(&stored));
        count(if found.is_some() { "hit" } else { "miss" });
        found
    }

    /// Remembers what was read at this version, for at most `remembered` and not much less, unless
    /// something newer is known to have been written.
    pub async fn fill<T: Serialize>(&self, key: &CacheKey, cached: &Cached<T>, remembered: Duration) {
        let Ok(value) = serde_json::to_string(&cached.value) else {
            return;
        };
        let remembered = remembered.mul_f64(1.0 - JITTER * rand::rng().random::<f64>());
        let mut call = self.fill.key(self.name(key));
        call.arg(version(cached.version))
            .arg(value)
            .arg(millis(remembered));
        let mut connection = self.connection.clone();
        let _filled: Option<u32> = self.if_well(call.invoke_async(&mut connection)).await;
    }

    /// Forgets what is older than these versions. False: Redis did not say that it did.
    pub async fn outdate(&self, written: &[(CacheKey, u64)]) -> bool {
        let mut outdated = true;
        for written in written.chunks(OUTDATED_AT_ONCE) {
            let mut call = self.outdate.prepare_invoke();
            call.arg(millis(OUTDATED_KNOWN));
            for (key, written) in written {
                call.key(self.name(key)).arg(version(*written));
            }
            let mut connection = self.connection.clone();
            let done: Option<u32> = in_time(call.invoke_async(&mut connection)).await;
            outdated &= done.is_some();
        }
        outdated
    }

    /// Forgets a value, whatever version it has; nothing older than `version` is put there after.
    /// False: Redis did not say that it did.
    pub async fn forget(&self, key: &CacheKey, known: u64) -> bool {
        let mut connection = self.connection.clone();
        let mut command = redis::cmd("SET");
        command.arg(self.name(key)).arg(version(known));
        command.arg("PX").arg(millis(OUTDATED_KNOWN));
        let done: Option<String> = in_time(command.query_async(&mut connection)).await;
        done.is_some()
    }

    /// Asks, unless Redis is left alone. What has changed is told in any case.
    async fn if_well<T>(&self, asked: impl Future<Output = Result<T, RedisError>>) -> Option<T> {
        let permit = self.breaker.permit()?;
        let begin = Instant::now();
        let answer = in_time(asked).await;
        permit.settle(answer.is_some(), begin.elapsed());
        answer
    }

    fn name(&self, key: &CacheKey) -> String {
        format!("{}{key}", self.prefix)
    }
}

async fn in_time<T>(asked: impl Future<Output = Result<T, RedisError>>) -> Option<T> {
    let answer = tokio::time::timeout(TIMEOUT, asked).await;
    if let Ok(Ok(answer)) = answer {
        return Some(answer);
    }
    count("error");
    tracing::debug!(error = ?answer.map(Result::err), "the cache in redis does not answer");
    None
}

fn count(outcome: &'static str) {
    metrics::counter!("headgate_cache_total", "outcome" => outcome).increment(1);
}

fn version(version: u64) -> String {
    format!("{version:0VERSION_DIGITS$}")
}

fn read<T: DeserializeOwned>(stored: &[u8]) -> Option<Cached<T>> {
    let (version, value) = stored.split_at_checked(VERSION_DIGITS)?;
    let version = std::str::from_utf8(version).ok()?.parse().ok()?;
    // A version alone says that what was there is out of date.
    let value = serde_json::from_slice(value).ok()?;
    Some(Cached { version, value })
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_version_alone_is_no_value() {
        let kept = format!("{}{}", version(7), r#"{"a":1}"#);
        let read_back: Option<Cached<serde_json::Value>> = read(kept.as_bytes());
        assert_eq!(read_back.map(|cached| cached.version), Some(7));
        assert_eq!(read::<serde_json::Value>(version(7).as_bytes()), None);
        assert_eq!(read::<serde_json::Value>(b"7{}"), None);
        assert_eq!(version(u64::MAX).len(), VERSION_DIGITS);
    }
}
