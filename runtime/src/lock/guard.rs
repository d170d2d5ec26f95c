//! A lock that is held.

use std::sync::Arc;
use std::time::Instant;

use tokio::task::JoinHandle;
use tokio_util::sync::DropGuard;

use super::claim::Claim;
use super::watchdog::{Belief, Watchdog};
use crate::shutdown::CancellationToken;

/// A lock that is held until this is released or dropped. It is renewed meanwhile, for
/// `hold_max_ms` at most. A lock that is lost all the same ends nothing: the guarded update
/// in MySQL, which compares the row's version, is what refuses a late writer.
#[must_use = "a lock whose guard is dropped is given back at once"]
pub struct Guard {
    belief: Arc<Belief>,
    watchdog: JoinHandle<()>,
    stop: DropGuard,
}

impl Guard {
    /// Guards a lock that was asked for at `asked`.
    pub(super) fn new(claim: Claim, asked: Instant) -> Self {
        let stop = CancellationToken::new();
        let watchdog = Watchdog::new(claim, asked);
        Self {
            belief: watchdog.belief(),
            watchdog: tokio::spawn(watchdog.run(stop.clone())),
            stop: stop.drop_guard(),
        }
    }

    /// Whether the holder still believes to hold it: false as soon as its lease has run out
    /// unrenewed or it turned out to be another's. True promises nothing.
    pub fn is_held(&self) -> bool {
        self.belief.holds()
    }

    /// Gives the lock back, so that the next one finds it free. Waits for one answer of Redis
    /// at most, and not at all while Redis is left alone. Dropping the guard does the same
    /// without waiting.
    pub async fn release(self) {
        drop(self.stop);
        // It fails only with the runtime, which takes the process with it.
        let _ended = self.watchdog.await;
    }
}

/// Several locks that are held together; dropped or released in the reverse of the order in
/// which they were taken.
#[derive(Default)]
#[must_use = "locks whose guards are dropped are given back at once"]
pub struct Guards(Vec<Guard>);

impl Guards {
    pub(super) fn push(&mut self, guard: Guard) {
        self.0.push(guard);
    }

    /// Whether the holder still believes to hold all of them; see [`Guard::is_held`].
    pub fn is_held(&self) -> bool {
        self.0.iter().all(Guard::is_held)
    }

    /// Gives all of them back; see [`Guard::release`].
    pub async fn release(mut self) {
        while let Some(guard) = self.0.pop() {
            guard.release().await;
        }
    }
}

impl Drop for Guards {
    fn drop(&mut self) {
        while let Some(guard) = self.0.pop() {
            drop(guard);
        }
    }
}
