//! `headgate offsets`.

use chrono::{DateTime, NaiveDate, Utc};
use clap::{Args, Subcommand};

use super::Error;
use super::client::Client;
use super::confirm::Confirmation;
use super::output::{Output, fields, maybe, table};
use super::progress::Spinner;
use crate::offsets::{OffsetReset, ResetGroup};
use crate::refeed::{Refed, Refeed as AskRefeed};

/// Where consumer groups are in their topics
#[derive(Debug, Subcommand)]
pub enum Command {
    Reset(Reset),
    Refeed(Refeed),
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

/// Feeds a group, from the archive, what has passed it by
///
/// These are events that lie behind its place in Kafka, or that Kafka dropped before it came,
/// and that are not in its inbox. They go to its retry topic, and nowhere else; what it has
/// settled is left out. A group whose readiness says that Kafka no longer has its next record
/// stays running meanwhile; when it has caught up, stop it and reset its offsets.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  headgate offsets refeed coupon-issuance --since 2026-11-15 --dry-run
  headgate offsets refeed coupon-issuance --since 2026-11-15 --yes")]
pub struct Refeed {
    /// The group
    group: String,
    /// What was published on this day (UTC) or later
    #[arg(long, value_name = "DAY")]
    since: NaiveDate,
    /// Only say what would be fed
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    confirmation: Confirmation,
}

impl Command {
    pub async fn run(self, output: Output) -> Result<(), Error> {
        match self {
            Self::Reset(reset) => reset.run(output).await,
            Self::Refeed(refeed) => refeed.run(output).await,
        }
    }
}

impl Refeed {
    async fn run(self, output: Output) -> Result<(), Error> {
        if !self.dry_run {
            let question = format!("Feed {} what was published since {}?", self.group, self.since);
            self.confirmation.ask(&question)?;
        }
        let path = format!("/v1/groups/{}/refeed", self.group);
        let client = Client::operator()?;
        let mut body = AskRefeed {
            since: self.since,
            dry_run: self.dry_run,
            cursor: None,
        };
        let spinner = Spinner::start("looking through the archive");
        let mut all = Refed::default();
        loop {
            let round: Refed = client.post(&path, &body).await?;
            all.looked_at += round.looked_at;
            all.missing += round.missing;
            all.refed += round.refed;
            body.cursor = round.next_cursor;
            if body.cursor.is_none() {
                break;
            }
        }
        drop(spinner);
        output.print(&all, |all| {
            fields([
                ("looked at", all.looked_at.to_string()),
                ("missing", all.missing.to_string()),
                ("fed", all.refed.to_string()),
            ])
        })?;
        Ok(())
    }
}

impl Reset {
    async fn run(self, output: Output) -> Result<(), Error> {
        if !self.dry_run {
            self.confirmation
                .ask(&format!("Move {} to {}?", self.group, self.to))?;
        }
        let path = format!("/v1/groups/{}/offsets/reset", self.group);
        let body = OffsetReset {
            to: self.to,
            dry_run: self.dry_run,
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
