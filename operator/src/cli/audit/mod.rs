//! `headgate audit`.

mod verify;

use clap::{Args, Subcommand};

use super::Error;
use super::client::Client;
use super::output::{Output, maybe, moment, table};
use crate::audit::Lines;

/// The audit log: every act of an operator, in a chain of hashes
#[derive(Debug, Subcommand)]
pub enum Command {
    List(List),
    Verify(verify::Verify),
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
        match self {
            Self::List(list) => list.run(output).await,
            Self::Verify(verify) => verify.run(output).await,
        }
    }
}

impl List {
    async fn run(self, output: Output) -> Result<(), Error> {
        let query = [
            ("actor", self.actor),
            ("action", self.action),
            ("object", self.object),
            ("limit", Some(self.limit.to_string())),
            ("cursor", self.cursor.map(|cursor| cursor.to_string())),
        ];
        let query: Vec<_> = query
            .into_iter()
            .filter_map(|(name, value)| Some((name, value?)))
            .collect();
        let lines: Lines = Client::operator()?.get("/v1/audit", &query).await?;
        output.print(&lines, |lines| {
            let mut table = table(&["no", "at", "actor", "action", "object", "hash", "detail"]);
            for line in &lines.items {
                table.add_row([
                    line.audit_no.to_string(),
                    moment(line.at),
                    line.actor.clone(),
                    line.action.clone(),
                    line.object.clone(),
                    line.hash.clone(),
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
