//! Settings of members.

use std::time::Duration;

use headgate_runtime::config::{milliseconds, require};
use serde::Deserialize;

/// Section `members`. The commented defaults say what each setting means.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Memory of one hash, in KiB.
    pub hash_memory_kib: u32,
    /// Passes over that memory.
    pub hash_passes: u32,
    /// Passwords that are hashed at once.
    pub hashes_at_once: u32,
    /// Passwords that may wait for that.
    pub hashes_waiting_max: u32,
    /// How long an access token is good.
    #[serde(rename = "access_ms", deserialize_with = "milliseconds")]
    pub access: Duration,
    /// How long a session lasts, however often it is refreshed.
    #[serde(rename = "session_ms", deserialize_with = "milliseconds")]
    pub session: Duration,
    /// How long a key signs.
    #[serde(rename = "signing_period_ms", deserialize_with = "milliseconds")]
    pub signing_period: Duration,
    /// How often ended sessions are read.
    #[serde(rename = "ended_every_ms", deserialize_with = "milliseconds")]
    pub ended_every: Duration,
}

/// OWASP's least memory and passes for Argon2id, and what a process may be made to take.
const MEMORY_KIB: std::ops::RangeInclusive<u32> = 19 * 1024..=1024 * 1024;
const PASSES: std::ops::RangeInclusive<u32> = 2..=64;
/// Longest life of a token that cannot be taken back where ended sessions cannot be read.
const ACCESS_MAX: Duration = Duration::from_mins(15);
/// Ended sessions have to be known everywhere within five seconds, one late answer included.
const ENDED_EVERY_MAX: Duration = Duration::from_secs(3);

impl Config {
    /// What is wrong with it.
    pub fn faults(&self) -> Vec<String> {
        let mut faults = Vec::new();
        require(
            &mut faults,
            MEMORY_KIB.contains(&self.hash_memory_kib) && PASSES.contains(&self.hash_passes),
            "members.hash_memory_kib must lie between 19456 and 1048576, hash_passes between 2 and 64",
        );
        require(
            &mut faults,
            self.hashes_at_once > 0,
            "members.hashes_at_once must be at least 1",
        );
        let second = Duration::from_secs(1);
        require(
            &mut faults,
            (second..=ACCESS_MAX).contains(&self.access) && self.session > self.access,
            "members.access_ms must lie between 1000 and 900000, session_ms above it",
        );
        require(
            &mut faults,
            self.signing_period > self.access,
            "members.signing_period_ms must exceed members.access_ms",
        );
        require(
            &mut faults,
            !self.ended_every.is_zero() && self.ended_every <= ENDED_EVERY_MAX,
            "members.ended_every_ms must lie between 1 and 3000",
        );
        faults
    }
}
