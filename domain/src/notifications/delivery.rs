//! What becomes of an attempt to deliver, and when the next one is due: pure rules.

use std::time::Duration;

/// When attempts are made.
#[derive(Clone, Copy, Debug)]
pub struct Patience {
    /// Attempts of a delivery before it is dead.
    pub attempts_max: u32,
    /// Pause after the first failure; it doubles with each.
    pub first: Duration,
    /// Longest pause, also where the endpoint asks for a longer one.
    pub longest: Duration,
    /// Failures in a row after which an endpoint is left alone.
    pub circuit_failures: u32,
    /// For how long.
    pub circuit_rest: Duration,
}

/// Doublings beyond which no pause grows: the longest is reached before.
const DOUBLINGS_MAX: u32 = 30;

impl Patience {
    /// The pause after the attempt of this number, from 1. `luck`, from 0 to 1, takes up to half of
    /// it away, so that what failed together does not come back together.
    pub fn pause(&self, attempt: u32, luck: f64) -> Duration {
        let doublings = attempt.saturating_sub(1).min(DOUBLINGS_MAX);
        let whole = self.first.saturating_mul(1 << doublings).min(self.longest);
        whole.mul_f64(1.0 - luck.clamp(0.0, 1.0) / 2.0)
    }

    /// What the endpoint asked for, within bounds.
    pub fn asked(&self, retry_after: Duration) -> Duration {
        retry_after.min(self.longest)
    }

    /// Whether the attempt of this number, from 1, was the last.
    pub const fn is_last(&self, attempt: u32) -> bool {
        attempt >= self.attempts_max
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PATIENCE: Patience = Patience {
        attempts_max: 3,
        first: Duration::from_secs(5),
        longest: Duration::from_hours(6),
        circuit_failures: 5,
        circuit_rest: Duration::from_mins(1),
    };

    #[test]
    fn pauses_double_up_to_the_longest() {
        assert_eq!(PATIENCE.pause(1, 0.0), Duration::from_secs(5));
        assert_eq!(PATIENCE.pause(4, 0.0), Duration::from_secs(40));
        assert_eq!(PATIENCE.pause(4, 1.0), Duration::from_secs(20));
        assert_eq!(PATIENCE.pause(u32::MAX, 0.0), PATIENCE.longest);
    }

    #[test]
    fn the_last_attempt_is_the_last() {
        assert!(!PATIENCE.is_last(2) && PATIENCE.is_last(3));
        assert_eq!(PATIENCE.asked(Duration::MAX), PATIENCE.longest);
    }
}
