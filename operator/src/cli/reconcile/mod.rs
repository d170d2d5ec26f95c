//! `headgate reconcile`.

mod campaigns;
mod pipe;
mod points;

use clap::{Args, Subcommand};
use serde::Serialize;

use super::Error;
use super::output::Output;

/// Counts campaigns and wallets, follows the events, and lists what must never be; exits with 1
/// when there is any
///
/// Without a command: every campaign, every wallet, and what was published since yesterday. Where the relay
/// keeps no archive the pipe cannot be reconciled; that is said, and does not fail.
#[derive(Debug, Args)]
#[command(
    args_conflicts_with_subcommands = true,
    after_help = "Examples:\n  headgate reconcile\n  headgate reconcile --output json | jq .differences\n  headgate reconcile pipe --since 2026-11-15 --deep"
)]
pub struct Reconcile {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    campaigns: campaigns::Campaigns,
}

#[derive(Debug, Subcommand)]
enum Command {
    Campaigns(campaigns::Campaigns),
    Pipe(pipe::Pipe),
    Points(points::Points),
}

/// All together.
#[derive(Serialize)]
struct Everything {
    #[serde(flatten)]
    campaigns: campaigns::Report,
    points: points::Report,
    /// Absent where it could not be reconciled.
    pipe: Option<pipe::Report>,
}

impl Reconcile {
    pub async fn run(self, output: Output) -> Result<(), Error> {
        match self.command {
            Some(Command::Campaigns(campaigns)) => {
                let report = campaigns.count().await?;
                output.print(&report, campaigns::table)?;
                report.say();
                differs(report.differences)
            }
            Some(Command::Pipe(pipe)) => {
                let report = pipe.follow().await?;
                output.print(&report, pipe::table)?;
                report.say();
                differs(report.differences)
            }
            Some(Command::Points(points)) => {
                let report = points.count().await?;
                output.print(&report, points::table)?;
                report.say();
                differs(report.differences)
            }
            None => everything(self.campaigns, output).await,
        }
    }
}

async fn everything(campaigns: campaigns::Campaigns, output: Output) -> Result<(), Error> {
    let mut campaigns = campaigns.count().await?;
    let points = points::Points::default().count().await?;
    campaigns.differences += points.differences;
    let (pipe, failed) = match pipe::Pipe::default().follow().await {
        Ok(report) => (Some(report), None),
        Err(error) => {
            eprintln!("the pipe was not reconciled: {error}");
            (None, Some(error).filter(|error| !pipe::is_archive_off(error)))
        }
    };
    campaigns.differences += pipe.as_ref().map_or(0, |pipe| pipe.differences);
    let everything = Everything {
        campaigns,
        points,
        pipe,
    };
    output.print(&everything, |everything| {
        let campaigns = campaigns::table(&everything.campaigns).trim_fmt();
        let points = points::table(&everything.points).trim_fmt();
        match &everything.pipe {
            Some(pipe) => format!("{campaigns}\n\n{points}\n\n{}", pipe::table(pipe)),
            None => format!("{campaigns}\n\n{points}"),
        }
    })?;
    if let Some(pipe) = &everything.pipe {
        pipe.say();
    }
    everything.points.say();
    everything.campaigns.say();
    differs(everything.campaigns.differences)?;
    failed.map_or(Ok(()), Err)
}

fn differs(differences: u64) -> Result<(), Error> {
    if differences == 0 {
        Ok(())
    } else {
        Err(Error::Differs(format!("{differences} differences")))
    }
}
