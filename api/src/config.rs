//! Settings of the api. The commented defaults say what each means.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use headgate_runtime::config::{self, Validate, milliseconds, require};
use headgate_runtime::{kafka, lock, mysql, redis, registry, telemetry};
use serde::Deserialize;

use crate::{members, rate_limits};

/// The commented defaults.
pub const DEFAULTS: &str = include_str!("../config.default.toml");

/// Settings of the api.
#[derive(Clone, Debug, Deserialize)]
pub struct Config {
    /// The public listener.
    pub http: Http,
    /// Waiting for claims.
    pub waiting: Waiting,
    /// Keys of partners.
    pub keys: Keys,
    /// Members and their tokens.
    pub members: members::config::Config,
    /// How much may be sent.
    pub rate_limits: rate_limits::Config,
    /// Campaigns remembered for claims.
    pub campaigns: Campaigns,
    /// Requests that are sent again.
    pub idempotency: Idempotency,
    /// Points.
    pub points: Points,
    /// Subscriptions.
    pub subscriptions: Subscriptions,
    /// Locks on wallets.
    pub lock: lock::Config,
    /// The path of a claim.
    pub claims: crate::admit::Limits,
    /// The admission state in Redis.
    pub admission: headgate_admission::Settings,
    /// The health listener.
    pub health: Health,
    /// Waiting for servers at start.
    pub start: Start,
    /// MySQL.
    pub mysql: mysql::Config,
    /// Redis.
    pub redis: redis::Config,
    /// Names of topics.
    pub kafka: kafka::Config,
    /// The schema registry.
    pub registry: registry::Config,
    /// Logs, metrics, traces.
    pub telemetry: telemetry::Config,
}

/// Section `http`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Http {
    /// Where it listens; port 0 takes a free one.
    pub listen: SocketAddr,
    /// Requests in work at once.
    pub in_flight_max: u32,
    /// Open connections.
    pub connections_max: u32,
    /// Largest body, in bytes.
    pub body_bytes_max: u32,
    /// Longest time for a request's body.
    #[serde(rename = "body_timeout_ms", deserialize_with = "milliseconds")]
    pub body_timeout: Duration,
    /// Longest time for one request.
    #[serde(rename = "request_timeout_ms", deserialize_with = "milliseconds")]
    pub request_timeout: Duration,
    /// Longest time for a request's head.
    #[serde(rename = "idle_timeout_ms", deserialize_with = "milliseconds")]
    pub idle_timeout: Duration,
    /// Longest time for a stop.
    #[serde(rename = "stop_timeout_ms", deserialize_with = "milliseconds")]
    pub stop_timeout: Duration,
    /// Whose `X-Forwarded-For` is believed.
    pub trusted_proxies: rate_limits::Proxies,
    /// Put before the name of a problem's page.
    pub problem_base: String,
}

/// Section `waiting`.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Waiting {
    /// Longest `Prefer: wait=N`.
    #[serde(rename = "wait_max_ms", deserialize_with = "milliseconds")]
    pub wait_max: Duration,
    /// Longest life of an event stream.
    #[serde(rename = "stream_max_ms", deserialize_with = "milliseconds")]
    pub stream_max: Duration,
    /// Requests and streams that may wait at once.
    pub waiters_max: u32,
}

/// Section `keys`.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Keys {
    /// How long a valid key is remembered.
    #[serde(rename = "remembered_ms", deserialize_with = "milliseconds")]
    pub remembered: Duration,
    /// How often revocations are read.
    #[serde(rename = "revocations_every_ms", deserialize_with = "milliseconds")]
    pub revocations_every: Duration,
    /// Keys remembered.
    pub remembered_max: u64,
    /// Unknown keys remembered.
    pub unknown_max: u64,
}

/// Section `campaigns`.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Campaigns {
    /// How long a campaign is remembered.
    #[serde(rename = "remembered_ms", deserialize_with = "milliseconds")]
    pub remembered: Duration,
    /// Campaigns remembered.
    pub remembered_max: u64,
}

/// Section `points`.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Points {
    /// How long a balance is remembered in Redis.
    #[serde(rename = "balance_remembered_ms", deserialize_with = "milliseconds")]
    pub balance_remembered: Duration,
}

/// Section `idempotency`.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Idempotency {
    /// How long a key waits for the answer of a process that says nothing.
    #[serde(rename = "lease_ms", deserialize_with = "milliseconds")]
    pub lease: Duration,
}

/// Section `subscriptions`.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Subscriptions {
    /// Whether e-mail is offered.
    pub email: bool,
    /// For how long a replaced secret signs, too.
    #[serde(rename = "secret_overlap_ms", deserialize_with = "milliseconds")]
    pub secret_overlap: Duration,
}

/// Longest time for which a replaced secret signs: it may have been replaced for a reason.
const SECRET_OVERLAP_MAX: Duration = Duration::from_hours(30 * 24);

/// Section `health`.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Health {
    /// Where it listens; port 0 takes a free one.
    pub listen: SocketAddr,
}

/// Section `start`.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Start {
    /// Longest wait for MySQL and the registry.
    #[serde(rename = "timeout_ms", deserialize_with = "milliseconds")]
    pub timeout: Duration,
}

/// Revocations have to be known everywhere within five seconds, one late answer included.
const REVOCATIONS_EVERY_MAX: Duration = Duration::from_secs(3);
/// Longest that a key may be remembered: revocations are read this far back.
const REMEMBERED_MAX: Duration = Duration::from_mins(5);
/// Shortest time that a balance is remembered: as long as a balance that is read anew may take.
const BALANCE_REMEMBERED_MIN: Duration = Duration::from_secs(1);
/// Longest: nobody sees an older one where Redis was away when it changed.
const BALANCE_REMEMBERED_MAX: Duration = Duration::from_hours(1);

impl Http {
    fn faults(&self, faults: &mut Vec<String>) {
        let limits = [self.in_flight_max, self.connections_max, self.body_bytes_max];
        let limited = limits.iter().all(|limit| *limit > 0);
        require(faults, limited, "the limits of http must be at least 1");
        let waits = [
            self.body_timeout,
            self.request_timeout,
            self.idle_timeout,
            self.stop_timeout,
        ];
        let waits = waits.iter().all(|wait| !wait.is_zero());
        require(faults, waits, "the waits of http must be at least 1 ms");
        let ends = self.problem_base.ends_with('/');
        require(faults, ends, "http.problem_base must end with a slash");
    }
}

impl Validate for Config {
    fn faults(&self) -> Vec<String> {
        let mut faults = Vec::new();
        self.http.faults(&mut faults);
        let longer = self.http.request_timeout > self.claims.timeout;
        require(
            &mut faults,
            longer,
            "http.request_timeout_ms must exceed claims.timeout_ms",
        );
        require(
            &mut faults,
            self.idempotency.lease > self.http.request_timeout,
            "idempotency.lease_ms must exceed http.request_timeout_ms",
        );
        let lives = !self.waiting.stream_max.is_zero();
        require(&mut faults, lives, "waiting.stream_max_ms must be at least 1");
        let every = self.keys.revocations_every;
        require(
            &mut faults,
            !every.is_zero() && every <= REVOCATIONS_EVERY_MAX,
            "keys.revocations_every_ms must lie between 1 and 3,000",
        );
        let remembered = every <= self.keys.remembered && self.keys.remembered <= REMEMBERED_MAX;
        require(
            &mut faults,
            remembered,
            "keys.remembered_ms must lie between keys.revocations_every_ms and 300,000",
        );
        let fresh = !self.campaigns.remembered.is_zero();
        require(&mut faults, fresh, "campaigns.remembered_ms must be at least 1");
        let remembered = &self.points.balance_remembered;
        require(
            &mut faults,
            (BALANCE_REMEMBERED_MIN..=BALANCE_REMEMBERED_MAX).contains(remembered),
            "points.balance_remembered_ms must lie between 1,000 and 3,600,000",
        );
        faults.extend(self.members.faults());
        faults.extend(self.rate_limits.faults());
        require(
            &mut faults,
            self.subscriptions.secret_overlap <= SECRET_OVERLAP_MAX,
            "subscriptions.secret_overlap_ms must be at most 2,592,000,000",
        );
        faults.extend(self.lock.faults());
        faults.extend(self.claims.faults());
        faults.extend(self.admission.faults());
        faults.extend(self.mysql.faults());
        faults.extend(self.redis.faults());
        faults.extend(self.kafka.faults());
        faults.extend(self.registry.faults());
        faults.extend(self.telemetry.faults());
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
    fn the_defaults_are_sound() {
        let config = load(None).expect("the embedded defaults");
        assert_eq!(config.lock, lock::Config::default());
    }
}
