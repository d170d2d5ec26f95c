//! The buckets in Redis, which all processes share.

use std::time::{Duration, Instant};

use headgate_runtime::breaker::{Breaker, Words};
use redis::aio::ConnectionManager;
use redis::{RedisError, Script};
use tokio::sync::Semaphore;

use super::bucket::{Limit, Untold};
use super::config::Config;

const WORDS: Words = Words {
    gauge: "headgate_rate_limit_breaker_open",
    opened: "Redis fails or is slow: each process limits rates by itself",
    closed: "Redis answers: rate limits are shared again",
};

/// Nanoseconds of a microsecond.
const MICROSECOND: i64 = 1_000;

/// What Redis is told of one bucket.
pub(super) struct Told<'t> {
    pub name: &'t str,
    pub limit: Limit,
    pub untold: Untold,
}

/// What became of telling.
pub(super) enum Heard {
    /// In how many nanoseconds each bucket is full.
    Full(Vec<i64>),
    /// Redis was not asked.
    NotAsked,
    /// Redis did not answer. It may have heard.
    Unanswered,
}

pub(super) struct Shared {
    connection: ConnectionManager,
    prefix: String,
    timeout: Duration,
    breaker: Breaker,
    /// A Redis that hangs keeps few requests waiting until the breaker opens.
    asking: Semaphore,
    script: Script,
}

impl Shared {
    pub fn new(connection: ConnectionManager, prefix: &str, config: &Config) -> Self {
        Self {
            connection,
            prefix: format!("{prefix}rate:"),
            timeout: config.timeout,
            breaker: Breaker::new(config.breaker.clone(), WORDS),
            asking: Semaphore::new(usize::try_from(config.asking_max).unwrap_or(Semaphore::MAX_PERMITS)),
            script: Script::new(include_str!("tell.lua")),
        }
    }

    /// One question, whatever the number of buckets. `now` is when they were looked at.
    pub async fn tell(&self, told: &[Told<'_>], now: i64) -> Heard {
        let Ok(_place) = self.asking.try_acquire() else {
            return Heard::NotAsked;
        };
        let Some(permit) = self.breaker.permit() else {
            return Heard::NotAsked;
        };
        let begin = Instant::now();
        let answer = tokio::time::timeout(self.timeout, self.ask(told, now)).await;
        let answered = matches!(&answer, Ok(Ok(full)) if full.len() == told.len());
        permit.settle(answered, begin.elapsed());
        match answer {
            Ok(Ok(full)) if answered => Heard::Full(
                full.into_iter()
                    .map(|micros| micros.saturating_mul(MICROSECOND))
                    .collect(),
            ),
            Ok(Err(error)) => {
                let error = crate::problem::of_error::chain(&error);
                tracing::debug!(error, "redis was not told of requests");
                Heard::Unanswered
            }
            _ => Heard::Unanswered,
        }
    }

    async fn ask(&self, told: &[Told<'_>], now: i64) -> Result<Vec<i64>, RedisError> {
        let mut call = self.script.prepare_invoke();
        for told in told {
            call.key([&self.prefix, told.name].concat());
            // A rate above a million does not divide; below, the part of a microsecond counts.
            call.arg(thousandths(told.limit.interval))
                .arg(told.limit.tolerance() / MICROSECOND)
                .arg(told.untold.count)
                .arg((now - told.untold.since).max(0) / MICROSECOND);
        }
        call.invoke_async(&mut self.connection.clone()).await
    }
}

/// Nanoseconds as microseconds.
fn thousandths(nanos: i64) -> String {
    format!("{}.{:03}", nanos / MICROSECOND, nanos % MICROSECOND)
}
