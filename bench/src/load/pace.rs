//! When the next request is due.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use super::Pace;

/// Hands out requests: each has a number and a time at which it is due.
#[derive(Debug)]
pub struct Schedule {
    pace: Pace,
    begin: Instant,
    end: Instant,
    next: AtomicU64,
}

impl Schedule {
    /// From `begin` to `end`.
    pub const fn new(pace: Pace, begin: Instant, end: Instant) -> Self {
        Self {
            pace,
            begin,
            end,
            next: AtomicU64::new(0),
        }
    }

    /// The next request: its number, and when it is due. None at the end.
    pub fn next(&self) -> Option<(u64, Instant)> {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let due = match self.pace {
            Pace::Closed => Instant::now(),
            Pace::Open { per_second } => {
                self.begin + Duration::from_secs_f64(number as f64 / f64::from(per_second))
            }
        };
        (due < self.end).then_some((number, due))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_open_pace_is_due_by_the_clock_whoever_asks_when() {
        let begin = Instant::now();
        let schedule = Schedule::new(
            Pace::Open { per_second: 100 },
            begin,
            begin + Duration::from_secs(1),
        );
        let due: Vec<_> = std::iter::from_fn(|| schedule.next()).collect();
        assert_eq!(due.len(), 100);
        assert_eq!(due[50], (50, begin + Duration::from_millis(500)));
    }
}
