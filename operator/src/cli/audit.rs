//! `headgate audit`.

use clap::{Args, Subcommand};

use super::Error;
use super::client::Client;
use super::output::{Output, maybe, moment, table};
use crate::audit::Lines;

/// The audit log: every act of an operator
#[derive(Debug, Subcommand)]
pub enum Command {
    List(List),
}

/// Lists acts, the newest first
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  headgate audit list --action dead-letter.discard")]
pub struct List {
    /// Only acts of this operator
    #[arg(long)]
    actor: Option<String>,
    /// Only this kind of act
    #[arg(long)]
    action: Option<String>,
    /// Only acts on this object
    #[arg(long)]
    object: Option<String>,
    /// Most acts
    #[arg(long, default_value_t = 50)]
    limit: u32,
    /// The cursor that the page before ended with
    #[arg(long)]
    cursor: Option<u64>,
}

impl Command {
    pub async fn run(self, output: Output) -> Result<(), Error> {
        let Self::List(list) = self;
        let query = [
            ("actor", list.actor),
            ("action", list.action),
            ("object", list.object),
            ("limit", Some(list.limit.to_string())),
            ("cursor", list.cursor.map(|cursor| cursor.to_string())),
        ];
        let query: Vec<_> = query
            .into_iter()
            .filter_map(|(name, value)| Some((name, value?)))
            .collect();
        let lines: Lines = Client::operator()?.get("/v1/audit", &query).await?;
        output.print(&lines, |lines| {
            let mut table = table(&["at", "actor", "action", "object", "detail"]);
            for line in &lines.items {
                table.add_row([
                    moment(line.at),
                    line.actor.clone(),
                    line.action.clone(),
                    line.object.clone(),
                    maybe(line.detail.as_ref()),
                ]);
            }
            table
        })?;
        if let Some(cursor) = lines.next_cursor {
            eprintln!("more with --cursor {cursor}");
        }
        Ok(())
    }
}
