//! Settings of the operator's listener.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use headgate_runtime::config::{self, Validate, milliseconds, require};
use headgate_runtime::{kafka, mysql, redis, registry, telemetry};
use serde::Deserialize;

use crate::auth::TokenConfig;

/// The commented defaults.
pub const DEFAULTS: &str = include_str!("../config.default.toml");

/// The variable that brings one admin token.
pub const TOKEN_VARIABLE: &str = "HEADGATE_OPERATOR_TOKEN";

/// Settings of the operator's listener; the commented defaults say what each means.
#[derive(Clone, Debug, Deserialize)]
pub struct Config {
    /// The listener.
    pub http: Http,
    /// The health listener.
    pub health: Health,
    /// Who is let in.
    #[serde(default)]
    pub tokens: Vec<TokenConfig>,
    /// Replays of many letters.
    pub replay: Replay,
    /// The continuous reconciliation.
    pub reconcile: Reconcile,
    /// MySQL.
    pub mysql: mysql::Config,
    /// Redis.
    pub redis: redis::Config,
    /// Kafka.
    pub kafka: kafka::Config,
    /// The schema registry.
    pub registry: registry::Config,
    /// The admission state, read here and told of released tickets.
    pub admission: headgate_admission::Settings,
    /// Logs, metrics, traces.
    pub telemetry: telemetry::Config,
}

/// Section `http`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Http {
    /// Where it listens; port 0 takes a free one.
    pub listen: SocketAddr,
    /// Longest time for one request.
    #[serde(rename = "request_timeout_ms", deserialize_with = "milliseconds")]
    pub request_timeout: Duration,
    /// Most requests at once; more are refused.
    pub in_flight_max: u16,
}

/// Section `health`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Health {
    /// Where it listens; port 0 takes a free one.
    pub listen: SocketAddr,
}

/// Section `replay`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Replay {
    /// Most letters of one replay.
    pub letters_max: u32,
    /// Letters a second, unless a replay says otherwise.
    pub rate_per_second: u32,
    /// Most that a replay may say.
    pub rate_per_second_max: u32,
    /// Letters that go first, unless a replay says otherwise.
    pub canary_letters: u32,
    /// Failures of the last letters that pause a replay, in per cent, unless it says otherwise.
    pub failures_percent_max: u8,
    /// Letters of one replay that may be on their way at once.
    pub in_flight_max: u32,
    /// How long a process that steps replays may be silent before another takes over.
    #[serde(rename = "lease_ms", deserialize_with = "milliseconds")]
    pub lease: Duration,
}

impl Replay {
    fn faults(&self) -> Vec<String> {
        let mut faults = Vec::new();
        require(
            &mut faults,
            (1..=LETTERS_MAX).contains(&self.letters_max),
            "replay.letters_max must lie between 1 and 1000000",
        );
        require(
            &mut faults,
            (1..=RATE_MAX).contains(&self.rate_per_second_max),
            "replay.rate_per_second_max must lie between 1 and 10000",
        );
        require(
            &mut faults,
            (1..=self.rate_per_second_max).contains(&self.rate_per_second),
            "replay.rate_per_second must lie between 1 and replay.rate_per_second_max",
        );
        require(
            &mut faults,
            self.failures_percent_max <= 100,
            "replay.failures_percent_max must lie between 0 and 100",
        );
        require(
            &mut faults,
            self.in_flight_max > 0,
            "replay.in_flight_max must be at least 1",
        );
        require(
            &mut faults,
            self.lease >= LEASE_MIN,
            "replay.lease_ms must be at least 1000",
        );
        faults
    }
}

/// Most letters that a plan looks at within the time of a request.
const LETTERS_MAX: u32 = 1_000_000;
/// Most letters a second.
const RATE_MAX: u32 = 10_000;
/// Shortest lease: several steps long.
const LEASE_MIN: Duration = Duration::from_secs(1);

/// Section `reconcile`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Reconcile {
    /// How often campaigns and the pipe are reconciled for the metric; 0: never.
    #[serde(rename = "every_ms", deserialize_with = "milliseconds")]
    pub every: Duration,
    /// Most rows of the pipe that one round looks at.
    pub rows_max: u32,
    /// How late a transaction may become visible that took its ids before.
    #[serde(rename = "settle_ms", deserialize_with = "milliseconds")]
    pub settle: Duration,
}

impl Validate for Config {
    fn faults(&self) -> Vec<String> {
        let mut faults = Vec::new();
        require(
            &mut faults,
            !self.http.request_timeout.is_zero(),
            "http.request_timeout_ms must be at least 1",
        );
        require(
            &mut faults,
            self.http.in_flight_max > 0,
            "http.in_flight_max must be at least 1",
        );
        faults.extend(self.replay.faults());
        require(
            &mut faults,
            self.reconcile.rows_max >= 1_000,
            "reconcile.rows_max must be at least 1000",
        );
        faults.extend(self.tokens.iter().flat_map(TokenConfig::faults));
        let mut names: Vec<_> = self.tokens.iter().map(|token| &token.name).collect();
        names.sort_unstable();
        let distinct = names.windows(2).all(|pair| pair[0] != pair[1]);
        require(&mut faults, distinct, "two tokens bear the same name");
        faults.extend(self.mysql.faults());
        faults.extend(self.redis.faults());
        faults.extend(self.kafka.faults());
        faults.extend(self.registry.faults());
        faults.extend(self.admission.faults());
        faults.extend(self.telemetry.faults());
        faults
    }
}

/// Reads the settings: defaults, then `file`, then the environment. Without any token
/// nobody could act, so that is a fault too.
pub fn load(file: Option<&PathBuf>) -> Result<Config, config::Error> {
    let mut config: Config = config::load(DEFAULTS, file)?;
    if let Ok(token) = std::env::var(TOKEN_VARIABLE) {
        config.tokens.push(TokenConfig::of_environment(token));
    }
    let mut faults = config.faults();
    require(
        &mut faults,
        !config.tokens.is_empty(),
        "there is no operator token: add [[tokens]] or set HEADGATE_OPERATOR_TOKEN",
    );
    if faults.is_empty() {
        Ok(config)
    } else {
        Err(config::Error::Invalid(faults))
    }
}
