//! What is measured of locks.

use std::time::Duration;

use super::key::LockKind;

/// How an acquisition ended: the label `outcome`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    /// It is held.
    Acquired,
    /// Somebody else has it.
    Busy,
    /// Redis was not asked.
    Bypassed,
    /// It was held, and ended before it was given back. Counted beside `acquired`.
    Lost,
    /// Redis failed, or did not answer in time.
    Error,
}

impl Outcome {
    const ALL: [Self; 5] = [
        Self::Acquired,
        Self::Busy,
        Self::Bypassed,
        Self::Lost,
        Self::Error,
    ];

    const fn as_str(self) -> &'static str {
        match self {
            Self::Acquired => "acquired",
            Self::Busy => "busy",
            Self::Bypassed => "bypassed",
            Self::Lost => "lost",
            Self::Error => "error",
        }
    }
}

/// Shows all counters at 0: an alert on an increase would miss the first of a counter that
/// appears with it.
pub(super) fn show() {
    for kind in LockKind::ALL {
        for outcome in Outcome::ALL {
            counter(kind, outcome).increment(0);
        }
    }
}

pub(super) fn count(kind: LockKind, outcome: Outcome) {
    counter(kind, outcome).increment(1);
}

fn counter(kind: LockKind, outcome: Outcome) -> metrics::Counter {
    metrics::counter!("headgate_lock_total", "kind" => kind.as_str(), "outcome" => outcome.as_str())
}

/// From the first question to the answer, however it turned out.
pub(super) fn waited(kind: LockKind, time: Duration) {
    metrics::histogram!("headgate_lock_wait_seconds", "kind" => kind.as_str()).record(time);
}

/// From the answer to the giving back.
pub(super) fn held(kind: LockKind, time: Duration) {
    metrics::histogram!("headgate_lock_hold_seconds", "kind" => kind.as_str()).record(time);
}
