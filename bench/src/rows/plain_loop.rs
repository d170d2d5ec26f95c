//! A plain loop of [`crate::bare`] as a row: its rate is what ours is compared with.

use std::time::{Duration, Instant};

use tokio::process::Command;

use crate::bare::backlog::Done;
use crate::bench::Bench;
use crate::report::{Beside, Row};
use crate::span;
use crate::stack::process;

const TIMEOUT: Duration = Duration::from_mins(5);

/// A plain loop.
#[derive(Clone, Debug)]
pub struct PlainLoop {
    /// The row's name.
    pub what: String,
    /// What it does, and leaves out.
    pub does: &'static str,
    /// Our own subcommand.
    pub command: &'static str,
    /// Its options, without their dashes.
    pub options: Vec<(&'static str, String)>,
}

impl PlainLoop {
    /// Lets it work off its backlog; adds the row and returns its figure.
    pub async fn measure(&self, bench: &Bench) -> anyhow::Result<f64> {
        let mut command = Command::new(std::env::current_exe()?);
        command.arg(self.command);
        for (name, value) in &self.options {
            command.arg(format!("--{name}={value}"));
        }
        let log = bench.servers.data_folder().join(format!("{}.log", self.command));
        bench.probe_disk().await?;
        let begun = Instant::now();
        let mut plain = process::start(self.command, command, &log).await?;
        let mut meter = bench.servers.meter();
        meter.watch("plain", plain.pid);
        meter.begin();
        let done: Done = plain.says(TIMEOUT).await?;
        let mut row = Row::new(&self.what, done.per_second, "/s")
            .beside(Beside::Nobody)
            .note(format!(
                "{}; {}; {:.2} s from the start of the process to the last one",
                self.does,
                span::in_words(),
                begun.elapsed().as_secs_f64()
            ));
        if let Some(usage) = meter.end() {
            row = row.used(usage);
        }
        bench.add(row)?;
        plain.stop().await?;
        Ok(done.per_second)
    }
}
