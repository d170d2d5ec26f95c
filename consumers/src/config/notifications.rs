//! Section `notifications`.

use std::time::Duration;

use headgate_domain::notifications::delivery::Patience;
use headgate_runtime::config::{milliseconds, require};
use serde::Deserialize;

/// Section `notifications`: the sender.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Notifications {
    /// Whether this process sends.
    pub enabled: bool,
    /// How often it looks for what is due, where nothing was.
    #[serde(rename = "poll_every_ms", deserialize_with = "milliseconds")]
    pub poll_every: Duration,
    /// Most attempts at once.
    pub in_flight_max: u32,
    /// Most attempts at once for one subscription.
    pub in_flight_per_subscription_max: u32,
    /// Longest attempt at a webhook.
    #[serde(rename = "timeout_ms", deserialize_with = "milliseconds")]
    pub timeout: Duration,
    /// How long a delivery stays with a process that says nothing.
    #[serde(rename = "lease_ms", deserialize_with = "milliseconds")]
    pub lease: Duration,
    /// Attempts before a delivery is dead.
    pub attempts_max: u32,
    /// Pause after the first failure.
    #[serde(rename = "pause_first_ms", deserialize_with = "milliseconds")]
    pub pause_first: Duration,
    /// Longest pause.
    #[serde(rename = "pause_longest_ms", deserialize_with = "milliseconds")]
    pub pause_longest: Duration,
    /// Failures in a row after which an endpoint is left alone.
    pub circuit_failures: u32,
    /// For how long.
    #[serde(rename = "circuit_rest_ms", deserialize_with = "milliseconds")]
    pub circuit_rest: Duration,
    /// Most of an answer that is read, in bytes.
    pub answer_bytes_max: usize,
    /// Whether webhooks may have private and local addresses.
    pub allow_private_addresses: bool,
    /// The mail server.
    pub smtp: Smtp,
}

/// Section `notifications.smtp`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Smtp {
    /// The mail server; empty: there is none.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// How the connection is protected.
    pub tls: TlsMode,
    /// Who logs in; empty: nobody.
    pub user: String,
    /// With which password.
    pub password: String,
    /// Who the mails are from.
    pub from: String,
    /// Longest attempt.
    #[serde(rename = "timeout_ms", deserialize_with = "milliseconds")]
    pub timeout: Duration,
}

/// How a connection to the mail server is protected.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum TlsMode {
    /// Not at all.
    None,
    /// By STARTTLS, or nothing is sent.
    Starttls,
    /// By TLS from the beginning.
    Tls,
}

/// What it takes to write an outcome down, beside the attempt itself.
const RECORD_TIMEOUT: Duration = Duration::from_secs(10);

impl Notifications {
    /// When attempts are made.
    pub(crate) const fn patience(&self) -> Patience {
        Patience {
            attempts_max: self.attempts_max,
            first: self.pause_first,
            longest: self.pause_longest,
            circuit_failures: self.circuit_failures,
            circuit_rest: self.circuit_rest,
        }
    }

    /// Longest attempt of any kind.
    pub(crate) fn attempt_timeout(&self) -> Duration {
        self.timeout.max(self.smtp.timeout)
    }

    pub(super) fn faults(&self) -> Vec<String> {
        let mut faults = Vec::new();
        for (duration, key) in [
            (self.poll_every, "poll_every_ms"),
            (self.timeout, "timeout_ms"),
            (self.pause_first, "pause_first_ms"),
            (self.circuit_rest, "circuit_rest_ms"),
            (self.smtp.timeout, "smtp.timeout_ms"),
        ] {
            let fault = format!("notifications.{key} must be at least 1");
            require(&mut faults, !duration.is_zero(), &fault);
        }
        require(
            &mut faults,
            self.in_flight_per_subscription_max > 0
                && self.in_flight_max >= self.in_flight_per_subscription_max,
            "notifications.in_flight_max must be at least in_flight_per_subscription_max, and that at least 1",
        );
        require(
            &mut faults,
            self.attempts_max > 0 && self.circuit_failures > 0,
            "notifications.attempts_max and circuit_failures must be at least 1",
        );
        require(
            &mut faults,
            self.pause_longest >= self.pause_first,
            "notifications.pause_longest_ms must be at least pause_first_ms",
        );
        // Or a delivery that is still being sent would be sent by somebody else, too.
        require(
            &mut faults,
            self.lease >= self.attempt_timeout() + RECORD_TIMEOUT,
            "notifications.lease_ms must exceed timeout_ms and smtp.timeout_ms by 10,000",
        );
        let has_sender = self.smtp.host.is_empty() || self.smtp.from.contains('@');
        require(
            &mut faults,
            has_sender,
            "notifications.smtp.from must be an address where there is a mail server",
        );
        faults
    }
}
