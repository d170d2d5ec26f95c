//! Limits of admission, section `admission` of the configuration.

use std::time::Duration;

use headgate_runtime::config::{milliseconds, require};
use serde::Deserialize;

/// See the commented defaults of the api and the consumers, which must agree.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// How long a reservation may stay without its commit before the sweeper asks
    /// MySQL what became of it. Longer than any commit takes.
    #[serde(rename = "pending_ms", deserialize_with = "milliseconds")]
    pub pending: Duration,
    /// Life of a local sold-out flag; a returned ticket rests this long, and a little
    /// more for the difference between clocks' rates.
    #[serde(rename = "sold_out_flag_ms", deserialize_with = "milliseconds")]
    pub sold_out_flag: Duration,
    /// Largest campaign whose holders are remembered locally; above it every request
    /// asks Redis.
    pub sold_out_holders_max: u32,
}

/// A returned ticket rests a tenth longer than a flag lives: clocks differ in rate.
const REST_MARGIN_DIVISOR: u32 = 10;

impl Settings {
    /// What is wrong with them.
    pub fn faults(&self) -> Vec<String> {
        let mut faults = Vec::new();
        require(
            &mut faults,
            !self.pending.is_zero(),
            "admission.pending_ms must be at least 1",
        );
        // A freed ticket has to be claimable within 30 seconds in all.
        let soon = self.pending + self.sold_out_flag < Duration::from_secs(20);
        require(
            &mut faults,
            soon,
            "admission.pending_ms and sold_out_flag_ms must stay below 20,000 together",
        );
        faults
    }

    pub(crate) fn pending_ms(&self) -> u64 {
        u64::try_from(self.pending.as_millis()).unwrap_or(u64::MAX)
    }

    /// How long somebody may still be told "sold out" after it was true.
    pub fn rest(&self) -> Duration {
        self.sold_out_flag + self.sold_out_flag / REST_MARGIN_DIVISOR
    }

    pub(crate) fn rest_ms(&self) -> u64 {
        u64::try_from(self.rest().as_millis()).unwrap_or(u64::MAX)
    }
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            pending: Duration::from_secs(8),
            sold_out_flag: Duration::from_secs(1),
            sold_out_holders_max: 20_000,
        }
    }
}
