//! Says on stderr how far long work is. Silent where stderr is no terminal.

use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};

/// How often the spinner turns.
const TURN_EVERY: Duration = Duration::from_millis(100);

/// A spinner while something of unknown length is done. It goes when dropped.
pub struct Spinner(ProgressBar);

impl Spinner {
    pub fn start(what: &'static str) -> Self {
        let bar = ProgressBar::new_spinner().with_message(what);
        bar.enable_steady_tick(TURN_EVERY);
        Self(bar)
    }
}

/// A bar over a known number of things. It goes when dropped.
pub struct Bar(ProgressBar);

impl Bar {
    pub fn start(what: &'static str, of: u64) -> Self {
        let bar = ProgressBar::new(of).with_message(what);
        let style = ProgressStyle::with_template("{msg} {wide_bar} {pos}/{len}");
        if let Ok(style) = style {
            bar.set_style(style);
        }
        Self(bar)
    }

    /// So many are done, of so many by now.
    pub fn stand(&self, done: u64, of: u64) {
        self.0.set_length(of);
        self.0.set_position(done);
    }

    pub fn advance(&self, by: usize) {
        self.0.inc(by as u64);
    }

    pub fn reach(&self, done: u64) {
        self.0.set_position(done);
    }
}

impl Drop for Bar {
    fn drop(&mut self) {
        self.0.finish_and_clear();
    }
}

impl Drop for Spinner {
    fn drop(&mut self) {
        self.0.finish_and_clear();
    }
}
