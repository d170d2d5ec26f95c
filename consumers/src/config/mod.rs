//! Settings of the consumers.

mod notifications;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use headgate_groups::Group;
use headgate_outbox::retention;
use headgate_runtime::config::{self, Validate, milliseconds, require};
use headgate_runtime::{kafka, mysql, redis, registry, telemetry};
use serde::Deserialize;

pub use notifications::{Notifications, Smtp, TlsMode};

/// The commented defaults.
pub const DEFAULTS: &str = include_str!("../../config.default.toml");

/// Settings of the consumers; the commented defaults say what each means.
#[derive(Clone, Debug, Deserialize)]
pub struct Config {
    /// The health listener.
    pub health: Health,
    /// The runner.
    pub consumer: Consumer,
    /// The groups that this process runs.
    pub groups: Groups,
    /// The background jobs.
    pub jobs: Jobs,
    /// The sender of notifications.
    pub notifications: Notifications,
    /// What the retention job keeps.
    pub retention: Retention,
    /// MySQL.
    pub mysql: mysql::Config,
    /// Redis.
    pub redis: redis::Config,
    /// Kafka.
    pub kafka: kafka::Config,
    /// The schema registry.
    pub registry: registry::Config,
    /// The admission state, which the sweeper settles.
    pub admission: headgate_admission::Settings,
    /// Logs, metrics, traces.
    pub telemetry: telemetry::Config,
}

/// Section `health`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Health {
    /// Where it listens; port 0 takes a free one.
    pub listen: SocketAddr,
}

/// Section `consumer`.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Consumer {
    /// Most records of one transaction.
    pub batch_records_max: usize,
    /// Most bytes of one transaction's records.
    pub batch_bytes_max: usize,
    /// Records of one partition that may wait for their batch.
    pub queue_records_max: usize,
    /// Bytes of one partition's records that may wait.
    pub queue_bytes_max: usize,
    /// Least time between the beginnings of two batches that are not full.
    #[serde(rename = "batch_every_ms", deserialize_with = "milliseconds")]
    pub batch_every: Duration,
    /// The same on retry topics.
    #[serde(rename = "retry_every_ms", deserialize_with = "milliseconds")]
    pub retry_every: Duration,
    /// How often an event is tried alone before it becomes a dead letter.
    pub attempts_max: u32,
    /// Failed replays after which a dead letter is quarantined.
    pub replays_max: u32,
    /// Most events that wait behind one dead letter.
    pub parked_per_key_max: u64,
    /// Most events of a partition that wait behind dead letters.
    pub parked_per_partition_max: u64,
    /// Longest transaction.
    #[serde(rename = "transaction_timeout_ms", deserialize_with = "milliseconds")]
    pub transaction_timeout: Duration,
    /// First pause while a dependency is away.
    #[serde(rename = "pause_shortest_ms", deserialize_with = "milliseconds")]
    pub pause_shortest: Duration,
    /// Longest pause while a dependency is away.
    #[serde(rename = "pause_longest_ms", deserialize_with = "milliseconds")]
    pub pause_longest: Duration,
    /// How often offsets are committed to Kafka.
    #[serde(rename = "commit_every_ms", deserialize_with = "milliseconds")]
    pub commit_every: Duration,
    /// Longest wait for transactions in hand at a rebalance and at a stop.
    #[serde(rename = "stop_timeout_ms", deserialize_with = "milliseconds")]
    pub stop_timeout: Duration,
}

/// Section `groups`: which of them this process runs.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Groups {
    /// Turns admitted claims into coupons.
    pub coupon_issuance: bool,
    /// Keeps a copy of each wallet's balance.
    pub point_balances: bool,
    /// Writes down what partners are to be told.
    pub notifications: bool,
}

impl Groups {
    /// Those that it runs.
    pub(crate) fn chosen(self) -> Vec<Group> {
        let is_chosen = |group: &Group| match group {
            Group::CouponIssuance => self.coupon_issuance,
            Group::PointBalances => self.point_balances,
            Group::Notifications => self.notifications,
        };
        Group::ALL.iter().copied().filter(is_chosen).collect()
    }
}

/// Section `jobs`.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Jobs {
    /// Whether this process takes part in the background jobs.
    pub enabled: bool,
    /// How long a job stays with a process that says nothing.
    #[serde(rename = "lease_ms", deserialize_with = "milliseconds")]
    pub lease: Duration,
    /// Pause between two rounds of the sweeper.
    #[serde(rename = "sweep_every_ms", deserialize_with = "milliseconds")]
    pub sweep_every: Duration,
    /// Pause between two audits of the tickets.
    #[serde(rename = "audit_every_ms", deserialize_with = "milliseconds")]
    pub audit_every: Duration,
    /// Pause between two rounds of the campaign clock.
    #[serde(rename = "campaign_clock_every_ms", deserialize_with = "milliseconds")]
    pub campaign_clock_every: Duration,
    /// Pause between two rounds of expiry.
    #[serde(rename = "expire_every_ms", deserialize_with = "milliseconds")]
    pub expire_every: Duration,
    /// Pause between two rounds of notices of points that expire soon.
    #[serde(rename = "notice_every_ms", deserialize_with = "milliseconds")]
    pub notice_every: Duration,
    /// How long before they expire points are noticed.
    #[serde(rename = "notice_before_ms", deserialize_with = "milliseconds")]
    pub notice_before: Duration,
    /// Pause between two rounds of retention.
    #[serde(rename = "retain_every_ms", deserialize_with = "milliseconds")]
    pub retain_every: Duration,
    /// Day partitions that are made ahead.
    pub partition_days_ahead: u32,
}

/// Section `retention`.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Retention {
    /// How long a redelivered event is recognised.
    pub inbox_days: u32,
    /// How long published events can be looked up.
    pub archive_days: u32,
    /// How long a dead letter stays archived before it is discarded.
    pub archived_letters_days: u32,
    /// How long a replay that is not under way can be looked up.
    pub replays_days: u32,
    /// How long a delivery is tried before it is given up.
    pub pending_deliveries_days: u32,
    /// How long a delivery can be looked up that was delivered.
    pub deliveries_days: u32,
    /// How long one that was given up can be tried again.
    pub dead_deliveries_days: u32,
}

impl Retention {
    /// That of inbox and archive.
    pub(crate) const fn days(&self) -> retention::Retention {
        retention::Retention {
            inbox_days: self.inbox_days,
            archive_days: self.archive_days,
        }
    }

    fn faults(&self) -> Vec<String> {
        let mut faults = self.days().faults();
        require(
            &mut faults,
            self.archived_letters_days > 0,
            "retention.archived_letters_days must be at least 1",
        );
        require(
            &mut faults,
            self.replays_days > 0,
            "retention.replays_days must be at least 1",
        );
        require(
            &mut faults,
            self.pending_deliveries_days > 0
                && self.deliveries_days > 0
                && self.dead_deliveries_days > self.pending_deliveries_days,
            "retention.dead_deliveries_days must exceed pending_deliveries_days, and that and deliveries_days be at least 1",
        );
        faults
    }
}

impl Validate for Config {
    fn faults(&self) -> Vec<String> {
        let mut faults = self.consumer.faults();
        faults.extend(self.jobs.faults());
        faults.extend(self.notifications.faults());
        require(
            &mut faults,
            !self.groups.chosen().is_empty(),
            "groups must name at least one group",
        );
        faults.extend(self.retention.faults());
        faults.extend(self.mysql.faults());
        faults.extend(self.redis.faults());
        faults.extend(self.kafka.faults());
        faults.extend(self.registry.faults());
        faults.extend(self.admission.faults());
        faults.extend(self.telemetry.faults());
        faults
    }
}

impl Consumer {
    fn faults(&self) -> Vec<String> {
        let mut faults = Vec::new();
        let batch_max = headgate_outbox::multirow::ROWS_MAX;
        require(
            &mut faults,
            (1..=batch_max).contains(&self.batch_records_max),
            &format!("consumer.batch_records_max must lie between 1 and {batch_max}"),
        );
        require(
            &mut faults,
            self.queue_records_max >= self.batch_records_max,
            "consumer.queue_records_max must be at least batch_records_max",
        );
        require(
            &mut faults,
            self.batch_bytes_max > 0 && self.queue_bytes_max >= self.batch_bytes_max,
            "consumer.queue_bytes_max must be at least batch_bytes_max, and that at least 1",
        );
        require(
            &mut faults,
            self.attempts_max > 0,
            "consumer.attempts_max must be at least 1",
        );
        require(
            &mut faults,
            self.replays_max > 0,
            "consumer.replays_max must be at least 1",
        );
        require(
            &mut faults,
            self.parked_per_key_max > 0 && self.parked_per_partition_max >= self.parked_per_key_max,
            "consumer.parked_per_partition_max must be at least parked_per_key_max, and that at least 1",
        );
        require(
            &mut faults,
            self.pause_longest >= self.pause_shortest && !self.pause_shortest.is_zero(),
            "consumer.pause_longest_ms must be at least pause_shortest_ms, and that at least 1",
        );
        for (duration, key) in [
            (self.transaction_timeout, "transaction_timeout_ms"),
            (self.commit_every, "commit_every_ms"),
            (self.stop_timeout, "stop_timeout_ms"),
        ] {
            require(
                &mut faults,
                !duration.is_zero(),
                &format!("consumer.{key} must be at least 1"),
            );
        }
        faults
    }
}

impl Jobs {
    fn faults(&self) -> Vec<String> {
        let mut faults = Vec::new();
        for (duration, key) in [
            (self.lease, "lease_ms"),
            (self.sweep_every, "sweep_every_ms"),
            (self.audit_every, "audit_every_ms"),
            (self.campaign_clock_every, "campaign_clock_every_ms"),
            (self.expire_every, "expire_every_ms"),
            (self.notice_every, "notice_every_ms"),
            (self.notice_before, "notice_before_ms"),
            (self.retain_every, "retain_every_ms"),
        ] {
            require(
                &mut faults,
                !duration.is_zero(),
                &format!("jobs.{key} must be at least 1"),
            );
        }
        require(
            &mut faults,
            self.partition_days_ahead > 0,
            "jobs.partition_days_ahead must be at least 1",
        );
        faults
    }
}

/// Reads the settings: defaults, then `file`, then the environment.
pub fn load(file: Option<&PathBuf>) -> Result<Config, config::Error> {
    config::load(DEFAULTS, file)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_defaults_are_in_order() {
        let config = load(None).expect("the defaults can be read and have no fault");
        assert!(config.consumer.batch_records_max.is_power_of_two());
    }

    #[test]
    fn nothing_is_let_go_as_soon_as_it_may_be() {
        let mut config = load(None).expect("the defaults");
        config.retention.archived_letters_days = 0;
        config.retention.replays_days = 0;
        assert_eq!(
            config.faults(),
            [
                "retention.archived_letters_days must be at least 1",
                "retention.replays_days must be at least 1"
            ]
        );
    }

    #[test]
    fn no_letter_is_quarantined_before_its_first_replay() {
        let mut config = load(None).expect("the defaults");
        config.consumer.replays_max = 0;
        assert_eq!(config.faults(), ["consumer.replays_max must be at least 1"]);
    }
}
