//! The rate at which a backlog is worked off, without start and end: ours and what it
//! is compared with are measured between the same shares.

use std::time::Instant;

/// The rate is taken between these shares of the backlog.
pub const FROM: f64 = 0.1;
/// See [`FROM`].
pub const TO: f64 = 0.9;

/// In words, for the notes.
pub fn in_words() -> String {
    format!("from {:.0} % to {:.0} % of the backlog", FROM * 100.0, TO * 100.0)
}

/// When the two shares were reached, and how much was done then.
#[derive(Clone, Copy, Debug)]
pub struct Span {
    all: f64,
    reached: [Option<(Instant, f64)>; 2],
}

impl Span {
    /// Of a backlog of so many.
    pub fn of(all: u32) -> Self {
        Self {
            all: f64::from(all),
            reached: [None; 2],
        }
    }

    /// So many are done now; says whether that is all of them.
    pub fn see(&mut self, done: f64) -> bool {
        self.see_at(done, Instant::now())
    }

    fn see_at(&mut self, done: f64, now: Instant) -> bool {
        for (reached, share) in self.reached.iter_mut().zip([FROM, TO]) {
            if done >= self.all * share {
                reached.get_or_insert((now, done));
            }
        }
        done >= self.all
    }

    /// How many were done in a second.
    pub fn per_second(&self) -> anyhow::Result<f64> {
        let [Some((from, first)), Some((to, last))] = self.reached else {
            anyhow::bail!("the shares were not reached");
        };
        anyhow::ensure!(to > from, "the backlog was worked off between two looks");
        Ok((last - first) / (to - from).as_secs_f64())
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn start_and_end_do_not_count() {
        let begin = Instant::now();
        let mut span = Span::of(1_000);
        let after = |seconds| begin + Duration::from_secs(seconds);
        assert!(!span.see_at(50.0, after(30)));
        assert!(!span.see_at(100.0, after(60)));
        assert!(!span.see_at(500.0, after(61)));
        assert!(span.per_second().is_err(), "the end is not reached");
        assert!(!span.see_at(900.0, after(62)));
        assert!(span.see_at(1_000.0, after(90)));
        let rate = span.per_second().expect("both shares were reached");
        assert!((rate - 400.0).abs() < 0.01, "{rate}");
    }
}
