//! The circuit breaker: when Redis fails or is slow too often, nobody asks it for a while.
//! Why it is our own: `docs/decisions/0020`.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use serde::Deserialize;

use crate::config::{milliseconds, require};

/// Section `breaker` of whatever is kept from a bad Redis. The commented defaults say what each
/// setting means.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Failures or slow answers within the window that open it.
    pub failures_max: u16,
    /// How far back they are counted.
    #[serde(rename = "window_ms", deserialize_with = "milliseconds")]
    pub window: Duration,
    /// How long it stays open before one caller asks again.
    #[serde(rename = "open_ms", deserialize_with = "milliseconds")]
    pub open: Duration,
    /// An answer is slow from here on.
    #[serde(rename = "slow_ms", deserialize_with = "milliseconds")]
    pub slow: Duration,
}

impl Config {
    /// What is wrong with it, in the section `section`, whose commands wait `timeout` at most.
    pub fn faults(&self, section: &str, timeout: Duration) -> Vec<String> {
        let mut faults = Vec::new();
        require(
            &mut faults,
            !self.slow.is_zero() && self.slow <= timeout,
            &format!("{section}.slow_ms must be at least 1 and at most the wait for one answer"),
        );
        require(
            &mut faults,
            self.failures_max > 0,
            &format!("{section}.failures_max must be at least 1"),
        );
        require(
            &mut faults,
            !self.window.is_zero(),
            &format!("{section}.window_ms must be at least 1"),
        );
        require(
            &mut faults,
            !self.open.is_zero(),
            &format!("{section}.open_ms must be at least 1"),
        );
        faults
    }
}

/// What a breaker says of itself.
#[derive(Clone, Copy, Debug)]
pub struct Words {
    /// The gauge that is 1 while it is open.
    pub gauge: &'static str,
    /// Logged when it opens.
    pub opened: &'static str,
    /// Logged when it closes.
    pub closed: &'static str,
}

impl Words {
    fn show(&self, open: bool) {
        metrics::gauge!(self.gauge).set(if open { 1.0 } else { 0.0 });
    }
}

enum State {
    /// Everybody asks. Times of the bad answers within the window, the oldest first; never
    /// more than `failures_max`.
    Closed(VecDeque<Instant>),
    /// Nobody asks until then.
    Open(Instant),
    /// One caller asks, the others do not.
    HalfOpen,
}

/// Decides whether Redis is asked. One for everything of a process that shares a connection.
pub struct Breaker {
    config: Config,
    words: Words,
    state: Mutex<State>,
}

/// May ask Redis once. Without a verdict, because its caller was dropped, the next caller
/// may ask instead.
pub struct Permit<'b> {
    breaker: &'b Breaker,
    is_probe: bool,
}

impl Breaker {
    /// Closed.
    pub fn new(config: Config, words: Words) -> Self {
        words.show(false);
        Self {
            config,
            words,
            state: Mutex::new(State::Closed(VecDeque::new())),
        }
    }

    /// `None`: Redis is left alone.
    pub fn permit(&self) -> Option<Permit<'_>> {
        let mut state = self.state.lock();
        let is_probe = match &*state {
            State::Closed(_) => false,
            State::Open(until) if Instant::now() >= *until => {
                *state = State::HalfOpen;
                true
            }
            State::Open(_) | State::HalfOpen => return None,
        };
        Some(Permit {
            breaker: self,
            is_probe,
        })
    }

    /// Whether everybody asks.
    pub fn is_closed(&self) -> bool {
        matches!(&*self.state.lock(), State::Closed(_))
    }

    /// Counts an answer nobody needed a permit for. It may open the breaker, never close it.
    pub fn observe(&self, answered: bool, took: Duration) {
        if answered && took < self.config.slow {
            return;
        }
        let now = Instant::now();
        let mut state = self.state.lock();
        let State::Closed(bad) = &mut *state else { return };
        while bad
            .front()
            .is_some_and(|at| now.duration_since(*at) >= self.config.window)
        {
            bad.pop_front();
        }
        bad.push_back(now);
        if bad.len() >= usize::from(self.config.failures_max) {
            *state = self.opened(now);
        }
    }

    fn opened(&self, now: Instant) -> State {
        self.words.show(true);
        tracing::warn!(open_ms = self.config.open.as_millis(), "{}", self.words.opened);
        State::Open(now + self.config.open)
    }

    fn probed(&self, good: bool) {
        let mut state = self.state.lock();
        if good {
            *state = State::Closed(VecDeque::new());
            self.words.show(false);
            tracing::info!("{}", self.words.closed);
        } else {
            *state = self.opened(Instant::now());
        }
    }
}

impl Permit<'_> {
    /// How it went.
    pub fn settle(mut self, answered: bool, took: Duration) {
        if std::mem::take(&mut self.is_probe) {
            self.breaker.probed(answered && took < self.breaker.config.slow);
        } else {
            self.breaker.observe(answered, took);
        }
    }
}

impl Drop for Permit<'_> {
    fn drop(&mut self) {
        if self.is_probe {
            *self.breaker.state.lock() = State::Open(Instant::now());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const AT_ONCE: Duration = Duration::ZERO;
    const SLOW: Duration = Duration::from_millis(25);

    fn breaker(failures_max: u16, window: Duration, open: Duration) -> Breaker {
        let config = Config {
            failures_max,
            window,
            open,
            slow: SLOW,
        };
        let words = Words {
            gauge: "headgate_test_breaker_open",
            opened: "opened",
            closed: "closed",
        };
        Breaker::new(config, words)
    }

    #[test]
    fn failures_and_slow_answers_open_it_and_good_ones_do_not() {
        let breaker = breaker(3, Duration::from_mins(1), Duration::from_mins(1));
        for (answered, took) in [(true, AT_ONCE), (false, AT_ONCE), (true, AT_ONCE), (true, SLOW)] {
            breaker.permit().expect("closed").settle(answered, took);
        }
        assert!(breaker.is_closed());
        breaker.observe(false, AT_ONCE);
        assert!(!breaker.is_closed());
        assert!(breaker.permit().is_none());
    }

    #[test]
    fn what_lies_before_the_window_is_not_counted() {
        let breaker = breaker(2, Duration::ZERO, Duration::from_mins(1));
        for _ in 0..9 {
            breaker.observe(false, AT_ONCE);
        }
        assert!(breaker.is_closed());
    }

    #[test]
    fn one_caller_probes_and_its_answer_decides() {
        let breaker = breaker(1, Duration::from_mins(1), Duration::ZERO);
        breaker.observe(false, AT_ONCE);
        let probe = breaker.permit().expect("the time has passed");
        assert!(breaker.permit().is_none(), "one at a time");
        probe.settle(true, SLOW);
        assert!(!breaker.is_closed(), "a slow answer is not good");
        breaker.permit().expect("the next probe").settle(true, AT_ONCE);
        assert!(breaker.is_closed());
    }

    #[test]
    fn a_probe_that_is_dropped_makes_room_for_the_next() {
        let breaker = breaker(1, Duration::from_mins(1), Duration::ZERO);
        breaker.observe(false, AT_ONCE);
        drop(breaker.permit().expect("the time has passed"));
        assert!(breaker.permit().is_some());
    }
}
