//! What is remembered of rows that could not be published: how often they were tried,
//! and when they may be tried again. It is kept in memory: a relay that takes a bucket
//! over begins to count anew.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use headgate_outbox::bucket::Bucket;
use headgate_outbox::claim::PendingRow;
use headgate_outbox::mark::Fate;

type Place = (Bucket, u64);

#[derive(Debug)]
struct Attempt {
    count: u16,
    again_at: Instant,
}

/// Rows that failed and are still in the outbox.
#[derive(Debug)]
pub(crate) struct Attempts {
    failing: HashMap<Place, Attempt>,
    max: u16,
    pause: Duration,
}

impl Attempts {
    /// Rows are tried `max` times; the pause doubles from `pause`.
    pub(crate) fn new(max: u16, pause: Duration) -> Self {
        Self {
            failing: HashMap::new(),
            max,
            pause,
        }
    }

    /// Whether the row failed before: it is sent alone then, so that it is certain
    /// which record Kafka refuses.
    pub(crate) fn is_suspect(&self, row: &PendingRow) -> bool {
        !self.failing.is_empty() && self.failing.contains_key(&(row.bucket, row.id))
    }

    /// Whether the row rests until its next attempt.
    pub(crate) fn rests(&self, row: &PendingRow, now: Instant) -> bool {
        let attempt = self.failing.get(&(row.bucket, row.id));
        attempt.is_some_and(|attempt| attempt.again_at > now)
    }

    /// The row was refused together with others; which of them is at fault is not known.
    pub(crate) fn suspect(&mut self, row: &PendingRow) {
        let attempt = Attempt {
            count: 0,
            again_at: Instant::now(),
        };
        self.failing.entry((row.bucket, row.id)).or_insert(attempt);
    }

    /// The row itself was refused. Its attempts are exhausted, or it rests.
    pub(crate) fn fail(&mut self, row: &PendingRow, error: String) -> Fate {
        let now = Instant::now();
        let attempt = self.failing.entry((row.bucket, row.id)).or_insert(Attempt {
            count: 0,
            again_at: now,
        });
        attempt.count += 1;
        if attempt.count >= self.max {
            return Fate::Failed {
                attempts: attempt.count,
                error,
            };
        }
        let doubled = 1_u32
            .checked_shl(u32::from(attempt.count) - 1)
            .unwrap_or(u32::MAX);
        attempt.again_at = now + self.pause.saturating_mul(doubled);
        Fate::Left
    }

    /// Forgets rows that are no longer in the outbox: of these buckets, all that are not
    /// among `left`.
    pub(crate) fn keep_only(&mut self, buckets: &[Bucket], left: impl Fn(&Place) -> bool) {
        self.failing
            .retain(|place, _| !buckets.contains(&place.0) || left(place));
    }

    /// Whether nothing failed.
    pub(crate) fn is_empty(&self) -> bool {
        self.failing.is_empty()
    }
}
