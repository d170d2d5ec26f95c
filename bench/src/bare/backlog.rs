//! What the plain loops have in common: a thread for each worker, a count of what is
//! done, and the words in which they tell it.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use anyhow::Context;
use serde::{Deserialize, Serialize};
use tokio::runtime::{Builder, Runtime};
use tokio::signal::unix::{SignalKind, signal};

use crate::span::Span;

/// What a plain loop says when its backlog is worked off.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct Done {
    /// Over the middle of the backlog.
    pub per_second: f64,
}

/// What is done, of all workers together.
#[derive(Debug)]
pub struct Progress {
    seen: Mutex<(u32, Span)>,
    all: u32,
    failed: AtomicBool,
}

impl Progress {
    fn of(all: u32) -> Self {
        Self {
            seen: Mutex::new((0, Span::of(all))),
            all,
            failed: AtomicBool::new(false),
        }
    }

    /// So many more are done.
    pub fn add(&self, more: usize) -> anyhow::Result<()> {
        let mut seen = self.seen.lock().map_err(|_| anyhow::anyhow!("poisoned"))?;
        let (done, span) = &mut *seen;
        *done += u32::try_from(more)?;
        span.see(f64::from(*done));
        Ok(())
    }

    /// Whether nothing is left for anyone, or a worker has failed.
    pub fn is_over(&self) -> bool {
        self.failed.load(Ordering::Relaxed) || self.seen.lock().is_ok_and(|seen| seen.0 >= self.all)
    }

    fn per_second(&self) -> anyhow::Result<f64> {
        let seen = self.seen.lock().map_err(|_| anyhow::anyhow!("poisoned"))?;
        anyhow::ensure!(seen.0 == self.all, "{} of {} were done", seen.0, self.all);
        seen.1.per_second()
    }
}

/// Lets `workers` threads work off a backlog of `all`, says how fast they were, and
/// waits to be told to stop: whoever measures reads our CPU time until then.
pub fn work_off<W>(all: u32, workers: u16, worker: W) -> anyhow::Result<()>
where
    W: Fn(u16, &Progress) -> anyhow::Result<()> + Sync,
{
    let runtime = runtime()?;
    // Before anything is said: whoever reads it may tell us to stop at once.
    let mut terminate = runtime.block_on(async { signal(SignalKind::terminate()) })?;
    println!("{}", serde_json::json!({"event": "listening"}));
    let progress = Progress::of(all);
    thread::scope(|scope| {
        let work = |number| {
            let outcome = worker(number, &progress);
            progress.failed.fetch_or(outcome.is_err(), Ordering::Relaxed);
            outcome
        };
        let threads: Vec<_> = (0..workers)
            .map(|number| scope.spawn(move || work(number)))
            .collect();
        threads.into_iter().try_for_each(|thread| {
            thread
                .join()
                .unwrap_or_else(|_| Err(anyhow::anyhow!("a worker died")))
        })
    })?;
    let done = Done {
        per_second: progress.per_second()?,
    };
    println!("{}", serde_json::to_string(&done)?);
    runtime.block_on(terminate.recv());
    Ok(())
}

/// The runtime of one worker: its loop does one thing at a time.
pub fn runtime() -> anyhow::Result<Runtime> {
    Builder::new_current_thread()
        .enable_all()
        .build()
        .context("start the runtime")
}
