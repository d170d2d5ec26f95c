//! Settings of the lock.

use std::time::Duration;

use serde::Deserialize;

use crate::breaker;
use crate::config::{milliseconds, require};

/// Section `lock` of the configuration, which services that take locks put into their own. The
/// commented defaults say what each setting means.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// False: every acquire is bypassed.
    pub enabled: bool,
    /// How long a lock outlives its holder.
    #[serde(rename = "lease_ms", deserialize_with = "milliseconds")]
    pub lease: Duration,
    /// Longest that a lock is held: it is not renewed beyond this.
    #[serde(rename = "hold_max_ms", deserialize_with = "milliseconds")]
    pub hold_max: Duration,
    /// Longest that background work waits for a lock.
    #[serde(rename = "wait_ms", deserialize_with = "milliseconds")]
    pub wait: Duration,
    /// Shortest pause between two questions of somebody who waits; the longest is twice that.
    #[serde(rename = "retry_every_ms", deserialize_with = "milliseconds")]
    pub retry_every: Duration,
    /// Longest wait for one answer of Redis.
    #[serde(rename = "command_timeout_ms", deserialize_with = "milliseconds")]
    pub command_timeout: Duration,
    /// When Redis is left alone.
    pub breaker: breaker::Config,
}

/// Shortest lease: a holder's renewal must not be late because a machine is busy.
const LEASE_MIN: Duration = Duration::from_secs(1);
/// Longest lease: nobody gets at a wallet for that long after its holder died.
const LEASE_MAX: Duration = Duration::from_mins(1);
/// Longest wait of background work.
const WAIT_MAX: Duration = Duration::from_mins(1);
/// A lock is renewed whenever this part of its lease has passed.
const RENEWALS_PER_LEASE: u32 = 3;

impl Config {
    /// What is wrong with it.
    pub fn faults(&self) -> Vec<String> {
        let mut faults = Vec::new();
        require(
            &mut faults,
            (LEASE_MIN..=LEASE_MAX).contains(&self.lease),
            "lock.lease_ms must lie between 1000 and 60000",
        );
        require(
            &mut faults,
            self.hold_max >= self.lease,
            "lock.hold_max_ms must be at least lock.lease_ms",
        );
        require(
            &mut faults,
            self.wait <= WAIT_MAX,
            "lock.wait_ms must be at most 60000",
        );
        require(
            &mut faults,
            !self.retry_every.is_zero(),
            "lock.retry_every_ms must be at least 1",
        );
        // A renewal that fails leaves time for another.
        require(
            &mut faults,
            !self.command_timeout.is_zero() && self.command_timeout < self.renew_every(),
            "lock.command_timeout_ms must be at least 1 and below a third of lock.lease_ms",
        );
        faults.extend(self.breaker.faults("lock.breaker", self.command_timeout));
        faults
    }

    pub(super) fn renew_every(&self) -> Duration {
        self.lease / RENEWALS_PER_LEASE
    }
}

impl Default for Config {
    fn default() -> Self {
        Self {
            enabled: true,
            lease: Duration::from_secs(10),
            hold_max: Duration::from_mins(1),
            wait: Duration::from_secs(3),
            retry_every: Duration::from_millis(50),
            command_timeout: Duration::from_millis(50),
            breaker: breaker::Config {
                failures_max: 20,
                window: Duration::from_secs(10),
                open: Duration::from_secs(2),
                slow: Duration::from_millis(25),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_fault_is_named() {
        let mut config = Config {
            lease: Duration::from_millis(999),
            hold_max: Duration::from_millis(998),
            wait: Duration::from_secs(61),
            retry_every: Duration::ZERO,
            command_timeout: Duration::from_millis(333),
            ..Config::default()
        };
        config.breaker = breaker::Config {
            failures_max: 0,
            window: Duration::ZERO,
            open: Duration::ZERO,
            slow: Duration::from_millis(334),
        };
        let named: Vec<_> = config
            .faults()
            .iter()
            .map(|fault| fault.split(' ').next().unwrap_or_default().to_owned())
            .collect();
        assert_eq!(
            named,
            [
                "lock.lease_ms",
                "lock.hold_max_ms",
                "lock.wait_ms",
                "lock.retry_every_ms",
                "lock.command_timeout_ms",
                "lock.breaker.slow_ms",
                "lock.breaker.failures_max",
                "lock.breaker.window_ms",
                "lock.breaker.open_ms",
            ]
        );
    }
}
