//! `headgate offsets`.

use chrono::{DateTime, Utc};
use clap::{Args, Subcommand};

use super::Error;
use super::client::Client;
use super::confirm::Confirmation;
use super::output::{Output, maybe, table};
use crate::offsets::{OffsetReset, ResetGroup};

/// Offsets of consumer groups
#[derive(Debug, Subcommand)]
pub enum Command {
    Reset(Reset),
}

/// Moves a group, which must not be running, to a point in time
///
/// What it has applied stays applied: its inbox knows the events, as far back as it
/// reaches. An earlier time is refused.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  headgate offsets reset coupon-issuance --to 2026-11-21T10:00:00Z --dry-run
  headgate offsets reset coupon-issuance --to 2026-11-21T10:00:00Z --yes")]
pub struct Reset {
    /// The group
    group: String,
    /// To the first record of each partition that is not older, RFC 3339
    #[arg(long, value_name = "TIME")]
    to: DateTime<Utc>,
    /// Only say what would be done
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    confirmation: Confirmation,
}

impl Command {
    pub async fn run(self, output: Output) -> Result<(), Error> {
        let Self::Reset(reset) = self;
        if !reset.dry_run {
            reset
                .confirmation
                .ask(&format!("Move {} to {}?", reset.group, reset.to))?;
        }
        let path = format!("/v1/groups/{}/offsets/reset", reset.group);
        let body = OffsetReset {
            to: reset.to,
            dry_run: reset.dry_run,
        };
        let moved: ResetGroup = Client::operator()?.post(&path, &body).await?;
        output.print(&moved, |moved| {
            let mut table = table(&["topic", "partition", "from", "to"]);
            for partition in &moved.partitions {
                table.add_row([
                    partition.topic.clone(),
                    partition.partition.to_string(),
                    maybe(partition.from),
                    partition.to.to_string(),
                ]);
            }
            table
        })?;
        Ok(())
    }
}
