//! `headgate lock`.

use clap::{Args, Subcommand};
use comfy_table::Table;
use headgate_runtime::lock::LockKey;

use super::Error;
use super::client::Client;
use super::confirm::Confirmation;
use super::output::{Output, fields, maybe, moment, table};
use crate::locks::{LockView, Locks};

/// The locks in Redis: who holds them, and ending one by force
#[derive(Debug, Subcommand)]
pub enum Command {
    List(List),
    Release(Release),
}

/// Lists the locks that are held
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  headgate lock list --output json")]
pub struct List {
    /// Most locks
    #[arg(long, default_value_t = 50)]
    limit: u32,
    /// The cursor that the page before ended with
    #[arg(long)]
    cursor: Option<String>,
}

/// Ends a lock by force; its holder is not stopped, but loses it
#[derive(Debug, Args)]
#[command(after_help = "\
Example:
  headgate lock release point:use:member:0198c5a1-7b1e-7c3d-9a55-2f6d1c0b4e77 --reason 'api-17 hangs'")]
pub struct Release {
    /// The lock, as `headgate lock list` shows it
    key: LockKey,
    /// Why; goes into the audit log
    #[arg(long)]
    reason: String,
    #[command(flatten)]
    confirmation: Confirmation,
}

impl Command {
    pub async fn run(self, output: Output) -> Result<(), Error> {
        let client = Client::operator()?;
        match self {
            Self::List(List { limit, cursor }) => {
                let query = [("limit", Some(limit.to_string())), ("cursor", cursor)];
                let query: Vec<_> = query
                    .into_iter()
                    .filter_map(|(name, value)| Some((name, value?)))
                    .collect();
                let locks: Locks = client.get("/v1/locks", &query).await?;
                output.print(&locks, list_table)?;
                if let Some(cursor) = locks.next_cursor {
                    eprintln!("more with --cursor {cursor}");
                }
            }
            Self::Release(Release {
                key,
                reason,
                confirmation,
            }) => {
                confirmation.ask(&format!("Release lock {key}?"))?;
                let path = format!("/v1/locks/{key}");
                let released: LockView = client.delete(&path, &[("reason", reason)]).await?;
                output.print(&released, |released| {
                    fields([
                        ("released", released.key.clone()),
                        ("holder", maybe(released.holder.as_deref())),
                    ])
                })?;
            }
        }
        Ok(())
    }
}

fn list_table(locks: &Locks) -> Table {
    let mut table = table(&["key", "kind", "holder", "since", "age", "remaining"]);
    let millis = |time: Option<u64>| maybe(time.map(|time| format!("{time} ms")));
    for lock in &locks.items {
        table.add_row([
            lock.key.clone(),
            lock.kind.clone(),
            maybe(lock.holder.as_deref()),
            maybe(lock.since.map(moment)),
            millis(lock.age_ms),
            millis(lock.remaining_ms),
        ]);
    }
    table
}
