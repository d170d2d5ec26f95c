//! Says on stderr how far long work is. Silent where stderr is no terminal.

use std::time::Duration;

use indicatif::ProgressBar;

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

impl Drop for Spinner {
    fn drop(&mut self) {
        self.0.finish_and_clear();
    }
}
