//! One bucket, as this process knows it. The algorithm is GCRA, the "generic cell rate
//! algorithm" of ATM in its form by virtual scheduling: instead of tokens it keeps the time
//! when the bucket will be full again. <https://www.itu.int/rec/T-REC-I.371>

use std::time::Duration;

use headgate_domain::partners::RATE_MAX;

use super::config::{Rate, SlowRate};

/// A process tells Redis of its requests when they are this part of a burst.
const UNTOLD_PART: i64 = 10;
/// What a burst is to a key's own rate, in seconds.
const OWN_BURST_SECONDS: u32 = 2;
const SECOND: i64 = 1_000_000_000;

/// A limit in force.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Limit {
    /// Nanoseconds that one request is worth.
    pub interval: i64,
    /// Requests.
    pub burst: i64,
}

impl Limit {
    /// `None`: there is none.
    pub fn new(rate: Rate) -> Option<Self> {
        (rate.per_second > 0).then(|| Self {
            interval: SECOND / i64::from(rate.per_second),
            burst: i64::from(rate.burst),
        })
    }

    /// The same by the minute.
    pub fn slow(rate: SlowRate) -> Option<Self> {
        (rate.per_minute > 0).then(|| Self {
            interval: 60 * SECOND / i64::from(rate.per_minute),
            burst: i64::from(rate.burst),
        })
    }

    /// A key's own.
    pub fn own(per_second: u32) -> Option<Self> {
        let per_second = per_second.min(RATE_MAX);
        let burst = per_second.saturating_mul(OWN_BURST_SECONDS);
        Self::new(Rate { per_second, burst })
    }

    /// Nanoseconds that an empty bucket takes to fill.
    pub const fn tolerance(&self) -> i64 {
        self.interval.saturating_mul(self.burst)
    }

    /// Requests that one process may keep from Redis.
    const fn untold_max(&self) -> i64 {
        let part = self.burst / UNTOLD_PART;
        if part > 0 { part } else { 1 }
    }
}

/// What is known of a bucket. Times are nanoseconds since the process began.
#[derive(Debug, Default)]
pub(super) struct Bucket {
    /// When it is full again if nothing more is taken: what Redis said last, and what this
    /// process took since. Others may have taken more.
    full_at: i64,
    untold: Untold,
}

/// Requests that Redis has not heard of.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Untold {
    pub count: i64,
    /// When the first of them was.
    pub since: i64,
}

impl Bucket {
    /// How long until one more fits; `None`: at once.
    pub fn wait(&self, limit: &Limit, now: i64) -> Option<Duration> {
        let after = self.full_at.max(now).saturating_add(limit.interval);
        let wait = after - now - limit.tolerance();
        u64::try_from(wait)
            .ok()
            .filter(|wait| *wait > 0)
            .map(Duration::from_nanos)
    }

    pub const fn must_tell(&self, limit: &Limit) -> bool {
        self.untold.count >= limit.untold_max()
    }

    pub fn take(&mut self, limit: &Limit, now: i64) {
        self.full_at = self.full_at.max(now).saturating_add(limit.interval);
        self.untold_again(limit, Untold { count: 1, since: now });
    }

    /// What was taken was not used after all.
    pub const fn give_back(&mut self, limit: &Limit) {
        self.full_at -= limit.interval;
        self.untold.count -= 1;
    }

    /// What is to be told, which then counts as told.
    pub fn tell(&mut self) -> Untold {
        std::mem::take(&mut self.untold)
    }

    /// It was not told after all. More than a burst would be no news.
    pub fn untold_again(&mut self, limit: &Limit, untold: Untold) {
        let since = if self.untold.count <= 0 {
            untold.since
        } else {
            self.untold.since.min(untold.since)
        };
        let count = (self.untold.count + untold.count).min(limit.burst);
        self.untold = Untold { count, since };
    }

    /// Redis says that the bucket is full in `full_in` nanoseconds, by what it was told.
    pub fn heard(&mut self, limit: &Limit, now: i64, full_in: i64) {
        let untold = self.untold.count.saturating_mul(limit.interval);
        self.full_at = self
            .full_at
            .max(now.saturating_add(full_in).saturating_add(untold));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMIT: Limit = Limit {
        interval: 100,
        burst: 20,
    };

    fn taken(bucket: &mut Bucket, now: i64, most: u32) -> u32 {
        let mut taken = 0;
        while taken < most && bucket.wait(&LIMIT, now).is_none() {
            bucket.take(&LIMIT, now);
            taken += 1;
        }
        taken
    }

    #[test]
    fn a_burst_then_the_rate() {
        let mut bucket = Bucket::default();
        assert_eq!(taken(&mut bucket, 1_000, 99), 20);
        assert_eq!(bucket.wait(&LIMIT, 1_000), Some(Duration::from_nanos(100)));
        assert_eq!(bucket.wait(&LIMIT, 1_099), Some(Duration::from_nanos(1)));
        assert_eq!(taken(&mut bucket, 1_100, 99), 1);
        assert_eq!(taken(&mut bucket, 1_599, 99), 4);
        assert_eq!(
            taken(&mut bucket, 1_000_000, 99),
            20,
            "no more than a burst is saved"
        );
    }

    #[test]
    fn what_others_took_is_heard_and_what_was_not_told_stays_on_top_of_it() {
        let mut bucket = Bucket::default();
        assert_eq!(taken(&mut bucket, 0, 2), 2);
        assert!(bucket.must_tell(&LIMIT));
        assert_eq!(bucket.tell(), Untold { count: 2, since: 0 });
        assert_eq!(taken(&mut bucket, 0, 1), 1);
        // Two of ours and fifteen of others'.
        bucket.heard(&LIMIT, 0, 1_700);
        assert_eq!(taken(&mut bucket, 0, 99), 2);
        // A Redis that has forgotten makes nothing good.
        bucket.heard(&LIMIT, 0, 0);
        assert_eq!(taken(&mut bucket, 0, 99), 0);
    }

    #[test]
    fn what_is_given_back_fits_again_and_is_taken_from_what_is_told() {
        let mut bucket = Bucket::default();
        assert_eq!(taken(&mut bucket, 0, 99), 20);
        bucket.give_back(&LIMIT);
        assert_eq!(bucket.tell().count, 19);
        assert_eq!(taken(&mut bucket, 0, 99), 1);
    }

    #[test]
    fn a_rate_of_zero_is_no_limit_and_small_bursts_are_told_of_each_request() {
        assert_eq!(
            Limit::new(Rate {
                per_second: 0,
                burst: 9
            }),
            None
        );
        let limit = Limit::new(Rate {
            per_second: 5,
            burst: 3,
        })
        .expect("a limit");
        assert_eq!((limit.tolerance(), limit.untold_max()), (600_000_000, 1));
        let own = Limit::own(RATE_MAX).expect("a limit");
        assert_eq!((own.interval, own.burst), (1_000, 2_000_000));
    }
}
