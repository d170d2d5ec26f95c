//! The disk probe: how many small appends a second can be made durable one after the
//! other. What a commit costs at least, here and now.

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::Context;
use hdrhistogram::Histogram;

/// Bytes of an append: about what a small transaction adds to a log.
const APPEND_BYTES: usize = 512;
/// How long it is tried.
const DURATION: Duration = Duration::from_secs(1);
const SLOWEST_US: u64 = 10_000_000;

/// What was found.
#[derive(Clone, Copy, Debug)]
pub struct Probe {
    /// Durable appends a second.
    pub per_second: f64,
    /// Milliseconds of one.
    pub p50_ms: f64,
    /// Milliseconds of one.
    pub p99_ms: f64,
}

impl Probe {
    /// In a cell of the table.
    pub fn short(&self) -> String {
        format!("{:.0} fsync/s", self.per_second)
    }
}

/// Probes the disk that holds `folder`.
pub fn probe(folder: &Path) -> anyhow::Result<Probe> {
    let path = folder.join("disk-probe");
    let outcome = append(&path).with_context(|| format!("probe the disk with {}", path.display()));
    std::fs::remove_file(&path).ok();
    outcome
}

fn append(path: &Path) -> anyhow::Result<Probe> {
    let mut file: File = OpenOptions::new().create(true).append(true).open(path)?;
    let mut micros = Histogram::<u64>::new_with_bounds(1, SLOWEST_US, 3)?;
    let bytes = [b'.'; APPEND_BYTES];
    let begin = Instant::now();
    while begin.elapsed() < DURATION {
        let started = Instant::now();
        file.write_all(&bytes)?;
        file.sync_data()?;
        micros.saturating_record(u64::try_from(started.elapsed().as_micros())?);
    }
    let at = |quantile| micros.value_at_quantile(quantile) as f64 / 1_000.0;
    Ok(Probe {
        per_second: micros.len() as f64 / begin.elapsed().as_secs_f64(),
        p50_ms: at(0.5),
        p99_ms: at(0.99),
    })
}
