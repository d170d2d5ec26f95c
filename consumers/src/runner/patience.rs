//! Waiting for what is broken around the data: longer and longer, for as long as it
//! takes, and never beyond a stop.

use std::time::Duration;

use backon::{BackoffBuilder, ExponentialBackoff, ExponentialBuilder};
use headgate_runtime::shutdown::{CancellationToken, stopped_within};

/// Pauses between attempts.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pauses {
    pub shortest: Duration,
    pub longest: Duration,
}

/// The process is stopping, or the partition is another's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Stopped;

/// One wait, from the first failure to the next success.
pub(crate) struct Patience {
    pauses: Pauses,
    backoff: ExponentialBackoff,
}

impl Patience {
    pub(crate) fn new(pauses: Pauses) -> Self {
        let backoff = ExponentialBuilder::default()
            .with_min_delay(pauses.shortest)
            .with_max_delay(pauses.longest)
            .with_jitter()
            .without_max_times()
            .build();
        Self { pauses, backoff }
    }

    /// Waits once more.
    pub(crate) async fn wait(&mut self, stop: &CancellationToken) -> Result<(), Stopped> {
        let pause = self.backoff.next().unwrap_or(self.pauses.longest);
        if stopped_within(stop, pause).await {
            return Err(Stopped);
        }
        Ok(())
    }
}
