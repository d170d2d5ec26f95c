//! How far a partition has come, and how far it lies behind.

use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};

use chrono::Utc;

/// Stands for "not known" among offsets and times.
const UNKNOWN: i64 = -1;

/// Written by the partition's worker, read by the poll thread.
#[derive(Debug)]
pub(crate) struct Progress {
    /// Offset of the first record that is not settled.
    next: AtomicI64,
    /// Timestamp of the oldest record of the batch in hand, milliseconds.
    in_hand_ms: AtomicI64,
    /// The worker waits for a dependency to come back.
    is_waiting: AtomicBool,
}

impl Default for Progress {
    fn default() -> Self {
        Self {
            next: AtomicI64::new(UNKNOWN),
            in_hand_ms: AtomicI64::new(UNKNOWN),
            is_waiting: AtomicBool::new(false),
        }
    }
}

impl Progress {
    /// A batch was taken in hand.
    pub(crate) fn take(&self, oldest_ms: i64) {
        self.in_hand_ms.store(oldest_ms, Ordering::Relaxed);
    }

    /// Everything below `next` is durable, one way or the other.
    pub(crate) fn settle(&self, next: i64) {
        self.next.fetch_max(next, Ordering::Release);
    }

    /// The batch in hand is settled.
    pub(crate) fn put_down(&self) {
        self.in_hand_ms.store(UNKNOWN, Ordering::Relaxed);
    }

    /// The offset to commit; `None` until something was settled.
    pub(crate) fn next(&self) -> Option<i64> {
        known(&self.next)
    }

    /// Says whether the worker waits for a dependency.
    pub(crate) fn set_waiting(&self, is_waiting: bool) {
        self.is_waiting.store(is_waiting, Ordering::Relaxed);
    }

    /// Whether the worker waits for a dependency.
    pub(crate) fn is_waiting(&self) -> bool {
        self.is_waiting.load(Ordering::Relaxed)
    }

    /// Seconds since the oldest record that is not settled was written; `queued_ms` is
    /// the first of those that still wait. `None`: none is here.
    pub(crate) fn seconds_behind(&self, queued_ms: Option<i64>) -> Option<f64> {
        let oldest = known(&self.in_hand_ms).or(queued_ms)?;
        let behind = Utc::now().timestamp_millis().saturating_sub(oldest).max(0);
        Some(std::time::Duration::from_millis(behind.unsigned_abs()).as_secs_f64())
    }
}

fn known(value: &AtomicI64) -> Option<i64> {
    Some(value.load(Ordering::Acquire)).filter(|value| *value != UNKNOWN)
}
