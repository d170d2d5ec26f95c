//! The campaign clock. Opening and closing follow MySQL's time; each process samples
//! how far its own clock is off and corrects by it, so that a skewed host opens no
//! campaign early.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use chrono::{DateTime, SubsecRound, TimeDelta, Utc};
use sqlx::MySqlPool;

use crate::shutdown::{CancellationToken, stopped_within};

/// How often the offset is sampled.
const SAMPLE_EVERY: Duration = Duration::from_secs(10);
/// Longest wait for a sample.
const SAMPLE_TIMEOUT: Duration = Duration::from_secs(2);

/// Digits of a second in MySQL's DATETIME(6).
const MICROSECOND_DIGITS: u16 = 6;

/// MySQL's time, as far as this process knows it.
#[derive(Clone, Debug, Default)]
pub struct DatabaseClock {
    /// Microseconds to add to the own clock.
    offset_micros: Arc<AtomicI64>,
}

impl DatabaseClock {
    /// Now, by MySQL's clock, give or take half a round trip.
    pub fn now(&self) -> DateTime<Utc> {
        let now = Utc::now() + TimeDelta::microseconds(self.offset_micros.load(Ordering::Relaxed));
        // What MySQL keeps of a time: an answer made from it equals what is read later.
        now.trunc_subsecs(MICROSECOND_DIGITS)
    }

    /// Takes one sample.
    pub async fn sample(&self, pool: &MySqlPool) -> Result<(), sqlx::Error> {
        let before = Utc::now();
        let theirs: DateTime<Utc> = sqlx::query_scalar("SELECT UTC_TIMESTAMP(6)")
            .fetch_one(pool)
            .await?;
        let after = Utc::now();
        let middle = before + (after - before) / 2;
        let offset = (theirs - middle).num_microseconds().unwrap_or_default();
        self.offset_micros.store(offset, Ordering::Relaxed);
        Ok(())
    }

    /// Samples until stopped. A sample that fails leaves the last offset in place.
    pub async fn keep(&self, pool: &MySqlPool, stop: &CancellationToken) {
        loop {
            match tokio::time::timeout(SAMPLE_TIMEOUT, self.sample(pool)).await {
                Ok(Ok(())) => {}
                Ok(Err(error)) => tracing::debug!(%error, "the database clock could not be sampled"),
                Err(_) => tracing::debug!("the database clock could not be sampled in time"),
            }
            if stopped_within(stop, SAMPLE_EVERY).await {
                return;
            }
        }
    }
}
