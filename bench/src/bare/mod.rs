//! The programs that we compare with, each a process of its own: axum that answers at
//! once; axum with one Redis script a request; and a plain program that also makes the
//! claim and an outbox row durable in a group commit, without anything that a product
//! needs beside it. For what is behind a claim: a plain relay and a plain consumer.

pub mod backlog;
pub mod consumer;
mod group_commit;
pub mod relay;
mod server;

use anyhow::Context;
use clap::{Args, ValueEnum};

/// Which program, and its servers.
#[derive(Clone, Debug, Args)]
pub struct Arguments {
    /// What it does for a request
    #[arg(value_enum)]
    pub kind: Kind,
    /// Redis, for all but `axum`
    #[arg(long, default_value = "")]
    pub redis_url: String,
    /// MySQL with our tables, for `group-commit`
    #[arg(long, default_value = "")]
    pub mysql_url: String,
    /// Transactions at the same time, for `group-commit`
    #[arg(long, default_value_t = 4)]
    pub writers: usize,
    /// Rows of a transaction, for `group-commit`
    #[arg(long, default_value_t = 500)]
    pub batch_rows_max: usize,
}

/// What a bare program does for a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Kind {
    /// Reads the request, answers as the api would.
    Axum,
    /// The same after one script in Redis: is the user new, which number is his.
    Redis,
    /// The same after a durable commit shared with others.
    GroupCommit,
}

impl Kind {
    /// On the command line.
    pub fn argument(self) -> String {
        self.to_possible_value()
            .map(|value| value.get_name().to_owned())
            .unwrap_or_default()
    }
}

/// Serves until it is told to stop.
pub fn main(arguments: &Arguments) -> anyhow::Result<()> {
    // As the api: a worker for each core.
    tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .context("start the runtime")?
        .block_on(server::serve(arguments))
}
