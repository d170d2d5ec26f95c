//! Measures Headgate beside bare programs, on real servers, in one run. Every figure
//! comes from a run of this program; nothing is quoted.
//!
//! The rows are in [`rows`], one file each; [`load`] is the client, a process of its
//! own so that its CPU time is seen; [`bare`] is what we compare with; [`stack`] are
//! the servers and our own processes.

#![expect(clippy::cast_precision_loss, reason = "figures are shown with a few digits")]

mod bare;
mod bench;
mod cli;
mod disk;
mod load;
mod machine;
mod meter;
mod report;
mod rows;
mod span;
mod stack;

use std::process::ExitCode;

fn main() -> ExitCode {
    cli::run()
}
