//! The only waiting there is in tests: for something to become true, up to a limit.

use std::time::{Duration, Instant};

/// First pause between two probes; it doubles up to [`PAUSE_MAX`].
const PAUSE_MIN: Duration = Duration::from_millis(2);
/// Longest pause between two probes.
const PAUSE_MAX: Duration = Duration::from_millis(100);

/// Probes until there is an answer, and returns it. Panics with `what` when there is
/// none within `limit`. `what` completes the sentence "waited in vain for ...".
pub async fn eventually<T>(what: &str, limit: Duration, mut probe: impl AsyncFnMut() -> Option<T>) -> T {
    let mut waiting = Waiting::new(limit);
    loop {
        if let Some(answer) = probe().await {
            return answer;
        }
        waiting.pause(what).await;
    }
}

/// The pauses between probes, where a closure does not fit.
#[derive(Debug)]
pub(crate) struct Waiting {
    start: Instant,
    limit: Duration,
    pause: Duration,
}

impl Waiting {
    pub(crate) fn new(limit: Duration) -> Self {
        Self {
            start: Instant::now(),
            limit,
            pause: PAUSE_MIN,
        }
    }

    /// Pauses before the next probe, or panics when the limit has passed.
    pub(crate) async fn pause(&mut self, what: &str) {
        let waited = self.start.elapsed();
        assert!(
            waited < self.limit,
            "waited {:.1} s in vain for {what}",
            waited.as_secs_f64()
        );
        tokio::time::sleep(self.pause).await;
        self.pause = (self.pause * 2).min(PAUSE_MAX);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_answer_is_returned_as_soon_as_it_is_there() {
        let mut probes = 0;
        let answer = eventually("the third probe", Duration::from_secs(5), async || {
            probes += 1;
            (probes == 3).then_some("here")
        })
        .await;
        assert_eq!((answer, probes), ("here", 3));
    }

    #[tokio::test]
    #[should_panic(expected = "in vain for what never comes")]
    async fn waiting_ends_at_the_limit() {
        eventually("what never comes", Duration::from_millis(10), async || None::<()>).await;
    }
}
