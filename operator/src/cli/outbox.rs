//! `headgate outbox`.

use clap::{Args, Subcommand};
use comfy_table::Table;

use super::Error;
use super::client::Client;
use super::output::{Output, fields, maybe, moment, table};
use crate::outbox::{AggregateToRetry, BlockedRows, OutboxStatus, Retried};

/// The outbox: what waits to be published, and what could not be
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Shows how many events wait, and how many are blocked
    #[command(after_help = "Example:\n  headgate outbox status --output json")]
    Status,
    Blocked(Blocked),
    Retry(Retry),
}

/// Lists the events that cannot be published, and those that wait behind them
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  headgate outbox blocked --limit 500")]
pub struct Blocked {
    /// Most rows
    #[arg(long, default_value_t = 50)]
    limit: u32,
    /// The cursor that the page before ended with
    #[arg(long)]
    cursor: Option<String>,
}

/// Gives the blocked events of an aggregate back to the relay, in their old order
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  headgate outbox retry claim/0198c5a1-7b1e-7c3d-9a55-2f6d1c0b4e77")]
pub struct Retry {
    /// The aggregate, as `headgate outbox blocked` shows it
    #[arg(value_name = "TYPE/ID")]
    aggregate: String,
}

impl Command {
    pub async fn run(self, output: Output) -> Result<(), Error> {
        let client = Client::operator()?;
        match self {
            Self::Status => {
                let status: OutboxStatus = client.get("/v1/outbox", &()).await?;
                output.print(&status, status_table)?;
            }
            Self::Blocked(page) => {
                let query = [("limit", Some(page.limit.to_string())), ("cursor", page.cursor)];
                let query: Vec<_> = query
                    .into_iter()
                    .filter_map(|(name, value)| Some((name, value?)))
                    .collect();
                let rows: BlockedRows = client.get("/v1/outbox/blocked", &query).await?;
                output.print(&rows, blocked_table)?;
                if let Some(cursor) = rows.next_cursor {
                    eprintln!("more with --cursor {cursor}");
                }
            }
            Self::Retry(retry) => {
                let (aggregate_type, aggregate_id) = retry
                    .aggregate
                    .split_once('/')
                    .ok_or_else(|| Error::Usage("the aggregate must look like claim/ID".to_owned()))?;
                let aggregate = AggregateToRetry {
                    aggregate_type: aggregate_type.to_owned(),
                    aggregate_id: aggregate_id.to_owned(),
                };
                let retried: Retried = client.post("/v1/outbox/retry", &aggregate).await?;
                output.print(&retried, |retried| fields([("rows", retried.rows.to_string())]))?;
            }
        }
        Ok(())
    }
}

fn status_table(status: &OutboxStatus) -> Table {
    fields([
        ("pending", status.pending.to_string()),
        (
            "oldest pending",
            maybe(
                status
                    .oldest_pending_seconds
                    .map(|seconds| format!("{seconds:.1} s")),
            ),
        ),
        ("failed", status.failed.to_string()),
        ("waiting", status.waiting.to_string()),
    ])
}

fn blocked_table(rows: &BlockedRows) -> Table {
    let mut table = table(&[
        "aggregate",
        "event type",
        "status",
        "attempts",
        "blocked at",
        "last error",
    ]);
    for row in &rows.items {
        table.add_row([
            format!("{}/{}", row.aggregate_type, row.aggregate_id),
            row.event_type.clone(),
            row.status.clone(),
            format!("{}/{}", row.attempts, row.max_attempts),
            moment(row.blocked_at),
            maybe(row.last_error.as_deref()),
        ]);
    }
    table
}
