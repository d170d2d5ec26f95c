//! Settings of the rate limits.

use std::time::Duration;

use headgate_runtime::breaker;
use headgate_runtime::config::{milliseconds, require};
use serde::Deserialize;

/// Section `rate_limits`. The commented defaults say what each setting means.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// All that is sent under one key.
    pub key: Rate,
    /// What concerns one user of a partner.
    pub user: Rate,
    /// What comes from one address to one partner.
    pub address: Rate,
    /// What comes from one address without a valid key.
    pub stranger: Rate,
    /// Passwords that are tried from one address for one login name.
    pub login: SlowRate,
    /// Longest wait for one answer of Redis.
    #[serde(rename = "timeout_ms", deserialize_with = "milliseconds")]
    pub timeout: Duration,
    /// Requests that may wait for Redis at once.
    pub asking_max: u32,
    /// Buckets of each kind remembered in this process.
    pub remembered_max: u64,
    /// When Redis is left alone.
    pub breaker: breaker::Config,
}

/// How much is allowed.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(deny_unknown_fields)]
pub struct Rate {
    /// Requests per second in the long run; 0: no limit.
    pub per_second: u32,
    /// Requests at once after a rest.
    pub burst: u32,
}

/// How much is allowed, where one a second would be much.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(deny_unknown_fields)]
pub struct SlowRate {
    /// Requests per minute in the long run; 0: no limit.
    pub per_minute: u32,
    /// Requests at once after a rest.
    pub burst: u32,
}

/// Longest time for an empty bucket to fill, by requests a second, and a minute.
const FILL_MAX: Duration = Duration::from_mins(1);
const SLOW_FILL_MAX_MINUTES: u32 = 2;
/// Highest rate by the minute.
const SLOW_RATE_MAX: u32 = 6_000;
/// How long an unused bucket is remembered: it is full by then, whatever others took.
pub(super) const REMEMBERED: Duration = Duration::from_mins(4);

impl Rate {
    fn is_sound(self) -> bool {
        let most = u64::from(self.per_second) * FILL_MAX.as_secs();
        let rate = self.per_second <= headgate_domain::partners::RATE_MAX;
        self.per_second == 0 || rate && self.burst > 0 && u64::from(self.burst) <= most
    }
}

impl Config {
    /// What is wrong with it.
    pub fn faults(&self) -> Vec<String> {
        let mut faults = Vec::new();
        let rates = [
            ("key", self.key),
            ("user", self.user),
            ("address", self.address),
            ("stranger", self.stranger),
        ];
        for (name, rate) in rates {
            require(
                &mut faults,
                rate.is_sound(),
                &format!(
                    "rate_limits.{name} must allow at most 1000000 per second, and a burst of 1 to 60 seconds' worth"
                ),
            );
        }
        let (slow, burst) = (self.login.per_minute, self.login.burst);
        let most = slow.saturating_mul(SLOW_FILL_MAX_MINUTES);
        require(
            &mut faults,
            slow == 0 || slow <= SLOW_RATE_MAX && (1..=most).contains(&burst),
            "rate_limits.login must allow at most 6000 per minute, and a burst of 1 to two minutes' worth",
        );
        let waits = !self.timeout.is_zero() && self.asking_max > 0 && self.remembered_max > 0;
        require(
            &mut faults,
            waits,
            "rate_limits.timeout_ms, asking_max and remembered_max must be at least 1",
        );
        faults.extend(self.breaker.faults("rate_limits.breaker", self.timeout));
        faults
    }
}
