//! Settings of the relay. The commented defaults say what each means.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use headgate_runtime::config::{self, Validate, milliseconds, require};
use headgate_runtime::{kafka, mysql, redis, registry, telemetry};
use rdkafka::ClientConfig;
use serde::Deserialize;

/// The commented defaults.
pub const DEFAULTS: &str = include_str!("../config.default.toml");

/// Settings of the relay; the commented defaults say what each means.
#[derive(Clone, Debug, Deserialize)]
pub struct Config {
    /// The health listener.
    pub health: Health,
    /// Publishing.
    pub relay: Relay,
    /// MySQL.
    pub mysql: mysql::Config,
    /// Redis.
    pub redis: redis::Config,
    /// Kafka.
    pub kafka: kafka::Config,
    /// The schema registry.
    pub registry: registry::Config,
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

/// Section `relay`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Relay {
    /// Workers, each with its own producer.
    pub workers: u16,
    /// Most rows of one bucket in one round.
    pub batch_rows: u32,
    /// Whether published rows go to the archive.
    pub archive: bool,
    /// How often a row that cannot be published is tried.
    pub max_attempts: u16,
    /// Pause before the second attempt; it doubles.
    #[serde(rename = "retry_after_ms", deserialize_with = "milliseconds")]
    pub retry_after: Duration,
    /// How long a bucket stays with a process that says nothing.
    #[serde(rename = "lease_ms", deserialize_with = "milliseconds")]
    pub lease: Duration,
    /// How often leases are renewed and shared out.
    #[serde(rename = "renew_every_ms", deserialize_with = "milliseconds")]
    pub renew_every: Duration,
    /// Least time between the beginnings of two rounds that are not full.
    #[serde(rename = "round_every_ms", deserialize_with = "milliseconds")]
    pub round_every: Duration,
    /// Longest wait for acknowledgements.
    #[serde(rename = "stall_ms", deserialize_with = "milliseconds")]
    pub stall: Duration,
    /// Longest wait for MySQL in one piece of work.
    #[serde(rename = "database_timeout_ms", deserialize_with = "milliseconds")]
    pub database_timeout: Duration,
    /// Shortest pause between two looks for rows.
    #[serde(rename = "poll_shortest_ms", deserialize_with = "milliseconds")]
    pub poll_shortest: Duration,
    /// Longest pause between two looks for rows.
    #[serde(rename = "poll_longest_ms", deserialize_with = "milliseconds")]
    pub poll_longest: Duration,
    /// How often the backlog is counted.
    #[serde(rename = "backlog_every_ms", deserialize_with = "milliseconds")]
    pub backlog_every: Duration,
    /// Up to how many rows it is counted.
    pub backlog_rows_max: u64,
    /// Largest record, in bytes.
    pub record_bytes_max: u32,
    /// How records are compressed.
    pub compression: Compression,
    /// How long a record may wait for others.
    #[serde(rename = "linger_ms", deserialize_with = "milliseconds")]
    pub linger: Duration,
    /// `ce_source` of every event.
    pub source: String,
}

/// How records are compressed.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
#[expect(missing_docs, reason = "they are called as Kafka calls them")]
pub enum Compression {
    None,
    Lz4,
    Snappy,
    Gzip,
}

impl Compression {
    const fn as_str(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Lz4 => "lz4",
            Self::Snappy => "snappy",
            Self::Gzip => "gzip",
        }
    }
}

/// Largest batch that a worker sends to one partition, in bytes: what public topics take.
/// A record that is larger goes alone.
const REQUEST_BYTES_MAX: u32 = 1_000_000;
/// Longest wait for an answer of the broker before its connection counts as broken.
const SOCKET_TIMEOUT_MS: &str = "10000";
/// How long a topic that Kafka does not know may become known to it.
const TOPIC_PROPAGATION_MS: &str = "5000";

impl Config {
    /// Settings of the producers.
    ///
    /// A record is never given up locally (`message.timeout.ms`), and one that Kafka
    /// refuses stops all behind it (`enable.gapless.guarantee`): otherwise a successor
    /// could be delivered before it.
    pub fn producer(&self) -> ClientConfig {
        let relay = &self.relay;
        let mut client = self.kafka.client();
        client
            .set("enable.idempotence", "true")
            .set("enable.gapless.guarantee", "true")
            .set("acks", "all")
            .set("message.timeout.ms", "0")
            // The Java client's and Debezium's: all producers agree where a key lies.
            .set("partitioner", "murmur2_random")
            .set("compression.codec", relay.compression.as_str())
            .set("linger.ms", relay.linger.as_millis().to_string())
            .set("message.max.bytes", relay.record_bytes_max.to_string())
            .set("batch.size", REQUEST_BYTES_MAX.to_string())
            .set("queue.buffering.max.messages", queue_rows_max(relay).to_string())
            .set("socket.timeout.ms", SOCKET_TIMEOUT_MS)
            .set("topic.metadata.propagation.max.ms", TOPIC_PROPAGATION_MS)
            .set("socket.nagle.disable", "true");
        client
    }
}

/// A worker sends one round at a time: full batches of at most all buckets.
fn queue_rows_max(relay: &Relay) -> u32 {
    relay.batch_rows * u32::from(headgate_outbox::bucket::BUCKETS)
}

impl Validate for Config {
    fn faults(&self) -> Vec<String> {
        let mut faults = self.relay.faults();
        faults.extend(self.mysql.faults());
        faults.extend(self.redis.faults());
        faults.extend(self.kafka.faults());
        faults.extend(self.registry.faults());
        faults.extend(self.telemetry.faults());
        let connections = u32::from(self.relay.workers) + CONNECTIONS_BESIDE_WORKERS;
        require(
            &mut faults,
            self.mysql.connections_max >= connections,
            &format!(
                "mysql.connections_max must be at least {connections}: one for each worker, and {CONNECTIONS_BESIDE_WORKERS}"
            ),
        );
        faults
    }
}

/// For leases, for looking for rows, and for the backlog and readiness.
const CONNECTIONS_BESIDE_WORKERS: u32 = 3;
/// Most records that one request holds.
const RECORD_BYTES_LEAST: u32 = 10_000;

impl Relay {
    fn faults(&self) -> Vec<String> {
        use headgate_outbox::bucket::BUCKETS;
        use headgate_outbox::claim::ROWS_MAX;
        let mut faults = Vec::new();
        let mut check = |holds, fault: String| require(&mut faults, holds, &fault);
        check(
            (1..=BUCKETS).contains(&self.workers),
            format!("relay.workers must lie between 1 and {BUCKETS}"),
        );
        check(
            (1..=ROWS_MAX).contains(&self.batch_rows),
            format!("relay.batch_rows must lie between 1 and {ROWS_MAX}"),
        );
        check(
            self.max_attempts > 0,
            "relay.max_attempts must be at least 1".to_owned(),
        );
        check(
            !self.renew_every.is_zero() && self.lease >= self.renew_every * 3,
            "relay.lease_ms must be at least three times renew_every_ms, and that at least 1".to_owned(),
        );
        check(
            self.lease > self.database_timeout && !self.database_timeout.is_zero(),
            "relay.lease_ms must be more than database_timeout_ms, and that at least 1".to_owned(),
        );
        check(
            self.stall >= self.lease,
            "relay.stall_ms must be at least lease_ms".to_owned(),
        );
        check(
            self.poll_longest >= self.poll_shortest && !self.poll_shortest.is_zero(),
            "relay.poll_longest_ms must be at least poll_shortest_ms, and that at least 1".to_owned(),
        );
        check(
            !self.backlog_every.is_zero(),
            "relay.backlog_every_ms must be at least 1".to_owned(),
        );
        check(
            self.record_bytes_max >= RECORD_BYTES_LEAST,
            format!("relay.record_bytes_max must be at least {RECORD_BYTES_LEAST}"),
        );
        check(
            !self.source.is_empty(),
            "relay.source must not be empty: CloudEvents demands it".to_owned(),
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
        assert_eq!(config.producer().get("message.timeout.ms"), Some("0"));
    }

    #[test]
    fn a_lease_that_cannot_be_renewed_in_time_is_refused() {
        let mut config = load(None).expect("the defaults");
        config.relay.renew_every = config.relay.lease;
        config.mysql.connections_max = 2;
        assert_eq!(config.faults().len(), 2);
    }
}
