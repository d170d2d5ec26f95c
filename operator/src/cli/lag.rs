//! `headgate lag`.

use clap::Args;

use super::Error;
use super::client::Client;
use super::output::{Output, maybe, table};
use crate::lag::Lags;

/// Shows how far the consumer groups are behind
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  headgate lag --output json | jq '.items[].lag_records'")]
pub struct Lag {}

impl Lag {
    pub async fn run(self, output: Output) -> Result<(), Error> {
        let lags: Lags = Client::operator()?.get("/v1/lag", &()).await?;
        output.print(&lags, |lags| {
            let mut table = table(&["group", "topic", "partition", "committed", "newest", "lag"]);
            for group in &lags.items {
                for partition in &group.partitions {
                    let lost = if partition.records_lost {
                        " (records lost)"
                    } else {
                        ""
                    };
                    table.add_row([
                        group.group.clone(),
                        partition.topic.clone(),
                        partition.partition.to_string(),
                        maybe(partition.committed),
                        partition.newest.to_string(),
                        format!("{}{lost}", partition.lag_records),
                    ]);
                }
            }
            table
        })?;
        Ok(())
    }
}
