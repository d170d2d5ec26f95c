//! The command line `headgate <noun> <verb>`. Data goes to stdout, everything else to
//! stderr.

mod config;
mod error;
mod migrate;
mod output;
mod progress;
mod schemas;
mod topics;

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

pub use error::{Error, ExitCode};
use output::{Format, Output};

/// What `headgate --help` says below the commands.
const EXIT_CODES: &str = "\
Exit codes:
  0  done
  1  a check found a difference (topics apply --check, schemas check, reconcile)
  2  wrong arguments or configuration
  3  a server does not answer
  4  refused: by a rule, a server, or the operator listener
  5  not confirmed

Environment:
  MYSQL_URL, KAFKA_BOOTSTRAP, SCHEMA_REGISTRY_URL     the servers
  HEADGATE_OPERATOR_URL, HEADGATE_OPERATOR_TOKEN      the operator listener
  HEADGATE_API_URL, HEADGATE_API_KEY                  the api, as a partner
  HEADGATE_SECTION__KEY                               any other setting";

/// Runs Headgate: servers, topics, schemas, dead letters, campaigns, partners.
#[derive(Debug, Parser)]
#[command(name = "headgate", version, after_help = EXIT_CODES, max_term_width = 100)]
pub struct Cli {
    #[command(flatten)]
    global: Global,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Args)]
struct Global {
    /// Settings that replace the defaults, as TOML
    #[arg(long, global = true, value_name = "FILE", help_heading = "Global options")]
    config: Option<PathBuf>,
    /// How data is printed
    #[arg(
        long,
        short,
        global = true,
        value_enum,
        default_value_t,
        help_heading = "Global options"
    )]
    output: Format,
}

#[derive(Debug, Subcommand)]
enum Command {
    Migrate(migrate::Migrate),
    #[command(subcommand)]
    Topics(topics::Command),
    #[command(subcommand)]
    Schemas(schemas::Command),
}

impl Cli {
    /// Does what was asked.
    pub async fn run(self) -> Result<(), Error> {
        let output = Output::new(self.global.output);
        let load = || config::load(self.global.config.as_ref());
        match self.command {
            Command::Migrate(migrate) => migrate.run(&load()?, output).await,
            Command::Topics(topics) => topics.run(&load()?, output).await,
            Command::Schemas(schemas) => schemas.run(&load()?, output).await,
        }
    }
}
