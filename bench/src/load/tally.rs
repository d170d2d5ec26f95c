//! Counting answers.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;

use super::answer::{Answer, field};
use super::{LOST, Latency};

/// Longest latency that is told apart, in microseconds.
const LATENCY_MAX_US: u64 = 120_000_000;
const SIGNIFICANT_DIGITS: u8 = 3;
/// Statuses whose body says more.
const STATUS_WITH_CODE: u16 = 400;

/// What one thread counted.
#[derive(Debug)]
pub struct Tally {
    from: Instant,
    until: Instant,
    /// By status and code.
    pub measured: BTreeMap<String, u64>,
    /// The same, of all answers.
    pub all: BTreeMap<String, u64>,
    /// Microseconds of the measured answers.
    latency: Histogram<u64>,
    /// Of the last answer.
    pub last: Option<Instant>,
}

impl Tally {
    /// Counts as measured what is answered within these times.
    pub fn new(from: Instant, until: Instant) -> anyhow::Result<Self> {
        Ok(Self {
            from,
            until,
            measured: BTreeMap::new(),
            all: BTreeMap::new(),
            latency: Histogram::new_with_bounds(1, LATENCY_MAX_US, SIGNIFICANT_DIGITS)?,
            last: None,
        })
    }

    /// Counts an answer to a request that was due at `due`.
    pub fn answered(&mut self, answer: &Answer<'_>, due: Instant) {
        let mut digits = [0; 3];
        let status = write_status(&mut digits, answer.status);
        match (answer.status >= STATUS_WITH_CODE).then(|| field(answer.body, "code")) {
            Some(Some(code)) => self.count(&format!("{status} {code}"), due),
            _ => self.count(status, due),
        }
    }

    /// Counts a request that got none.
    pub fn lost(&mut self, due: Instant) {
        self.count(LOST, due);
    }

    fn count(&mut self, outcome: &str, due: Instant) {
        let now = Instant::now();
        add(&mut self.all, outcome, 1);
        self.last = Some(now);
        if now >= self.from && now < self.until {
            add(&mut self.measured, outcome, 1);
            self.latency
                .saturating_record(u64::try_from((now - due).as_micros()).unwrap_or(u64::MAX));
        }
    }

    /// Adds another's counts.
    pub fn merge(&mut self, other: &Self) -> anyhow::Result<()> {
        for (outcome, count) in &other.measured {
            add(&mut self.measured, outcome, *count);
        }
        for (outcome, count) in &other.all {
            add(&mut self.all, outcome, *count);
        }
        self.latency.add(&other.latency)?;
        self.last = self.last.max(other.last);
        Ok(())
    }

    /// Quantiles.
    pub fn latency(&self) -> Latency {
        let at = |quantile| milliseconds(self.latency.value_at_quantile(quantile));
        Latency {
            p50: at(0.5),
            p95: at(0.95),
            p99: at(0.99),
            p999: at(0.999),
            max: milliseconds(self.latency.max()),
        }
    }
}

fn milliseconds(micros: u64) -> f64 {
    Duration::from_micros(micros).as_secs_f64() * 1_000.0
}

/// Allocates only for an outcome that was not seen before.
fn add(counts: &mut BTreeMap<String, u64>, outcome: &str, count: u64) {
    match counts.get_mut(outcome) {
        Some(known) => *known += count,
        None => {
            counts.insert(outcome.to_owned(), count);
        }
    }
}

fn write_status(digits: &mut [u8; 3], status: u16) -> &str {
    for (digit, divisor) in digits.iter_mut().zip([100, 10, 1]) {
        *digit = b'0' + u8::try_from(status / divisor % 10).unwrap_or_default();
    }
    std::str::from_utf8(digits).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_answers_within_the_measured_time_count_for_the_rate() {
        let now = Instant::now();
        let minute = Duration::from_mins(1);
        let answer = Answer {
            status: 409,
            body: br#"{"code":"coupon-sold-out"}"#,
            bytes: 0,
        };
        let mut early = Tally::new(now + minute, now + 2 * minute).expect("bounds");
        early.answered(&answer, now);
        assert!(early.measured.is_empty());
        assert_eq!(early.all["409 coupon-sold-out"], 1);
        let mut within = Tally::new(now, now + minute).expect("bounds");
        within.answered(&answer, now);
        within.lost(now);
        within.merge(&early).expect("same bounds");
        assert_eq!(within.measured["409 coupon-sold-out"], 1);
        assert_eq!((within.all["409 coupon-sold-out"], within.all[LOST]), (2, 1));
    }
}
