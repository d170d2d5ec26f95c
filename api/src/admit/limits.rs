//! Limits of the claim path, section `claims` of the configuration.

use std::time::Duration;

use headgate_runtime::config::{milliseconds, require};
use serde::Deserialize;

/// See the commented defaults.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Limits {
    /// Transactions that commit claims at the same time.
    pub writers: u16,
    /// How many of them may be executing, while the others commit.
    pub executing: u16,
    /// Most claims in one transaction.
    pub batch_rows_max: u16,
    /// Claims of one campaign that may wait; beyond it the answer is 503.
    pub waiting_max: u32,
    /// Claims of one campaign that may wait while MySQL admits by itself.
    pub waiting_without_redis_max: u32,
    /// Longest that a claim takes.
    #[serde(rename = "timeout_ms", deserialize_with = "milliseconds")]
    pub timeout: Duration,
    /// Longest that Redis may take before MySQL admits by itself.
    #[serde(rename = "redis_timeout_ms", deserialize_with = "milliseconds")]
    pub redis_timeout: Duration,
    /// How long Redis is left alone after it failed.
    #[serde(rename = "redis_retry_ms", deserialize_with = "milliseconds")]
    pub redis_retry: Duration,
    /// Longest that one transaction may take.
    #[serde(rename = "commit_timeout_ms", deserialize_with = "milliseconds")]
    pub commit_timeout: Duration,
}

/// Connections for reads of single claims, beside those of the writers.
const READERS: u32 = 8;
/// Placeholders of a claim's row are few; this many rows stay far below MySQL's limit.
const BATCH_ROWS_LIMIT: u16 = 2_000;

impl Limits {
    /// Connections that the claim path needs.
    pub fn connections(&self) -> u32 {
        u32::from(self.writers) + READERS
    }

    /// What is wrong with them.
    pub fn faults(&self) -> Vec<String> {
        let mut faults = Vec::new();
        require(&mut faults, self.writers > 0, "claims.writers must be at least 1");
        let executing = (1..=self.writers).contains(&self.executing);
        require(
            &mut faults,
            executing,
            "claims.executing must lie between 1 and claims.writers",
        );
        let batch = (1..=BATCH_ROWS_LIMIT).contains(&self.batch_rows_max);
        require(
            &mut faults,
            batch,
            "claims.batch_rows_max must lie between 1 and 2000",
        );
        require(
            &mut faults,
            self.waiting_max > 0,
            "claims.waiting_max must be at least 1",
        );
        let waiting = self.waiting_without_redis_max <= self.waiting_max;
        require(
            &mut faults,
            waiting,
            "claims.waiting_without_redis_max must not exceed claims.waiting_max",
        );
        let waits = [
            self.timeout,
            self.redis_timeout,
            self.redis_retry,
            self.commit_timeout,
        ];
        require(
            &mut faults,
            waits.iter().all(|wait| !wait.is_zero()),
            "the waits of claims must be at least 1 ms",
        );
        let order = self.commit_timeout < self.timeout;
        require(
            &mut faults,
            order,
            "claims.commit_timeout_ms must be below claims.timeout_ms",
        );
        faults
    }
}
