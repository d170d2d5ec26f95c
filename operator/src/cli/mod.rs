//! The command line `headgate <noun> <verb>`. Data goes to stdout, everything else to
//! stderr.

mod audit;
mod bootstrap;
mod campaign;
mod client;
mod completion;
mod config;
mod confirm;
mod deliveries;
mod dlq;
mod editor;
mod error;
mod lag;
mod lock;
mod migrate;
mod offsets;
mod outbox;
mod output;
mod partner;
mod point_policy;
mod progress;
mod reconcile;
mod schemas;
mod stack;
mod topics;

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

pub use error::{Error, ExitCode};
use output::{Format, Output};

/// What `headgate --help` says below the commands.
const EXIT_CODES: &str = "\
Exit codes:
  0  done
  1  a check found a difference (topics apply --check, schemas check, reconcile, audit verify)
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
#[command(name = "headgate", version, after_help = EXIT_CODES)]
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
    /// How data is printed on stdout
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
    Bootstrap(bootstrap::Bootstrap),
    #[command(subcommand)]
    Dlq(dlq::Command),
    #[command(subcommand)]
    Campaign(campaign::Command),
    Reconcile(reconcile::Reconcile),
    #[command(subcommand)]
    Outbox(outbox::Command),
    #[command(subcommand)]
    Deliveries(deliveries::Command),
    Lag(lag::Lag),
    #[command(subcommand)]
    Lock(lock::Command),
    #[command(subcommand)]
    Offsets(offsets::Command),
    #[command(subcommand)]
    Partner(partner::Command),
    #[command(subcommand)]
    PointPolicy(point_policy::Command),
    #[command(subcommand)]
    Audit(audit::Command),
    #[command(subcommand)]
    Stack(stack::Command),
    Completion(completion::Completion),
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
            Command::Bootstrap(bootstrap) => bootstrap.run(&load()?, output).await,
            Command::Dlq(dlq) => dlq.run(output).await,
            Command::Campaign(campaign) => campaign.run(output).await,
            Command::Reconcile(reconcile) => reconcile.run(output).await,
            Command::Outbox(outbox) => outbox.run(output).await,
            Command::Deliveries(deliveries) => deliveries.run(output).await,
            Command::Lag(lag) => lag.run(output).await,
            Command::Lock(lock) => lock.run(output).await,
            Command::Offsets(offsets) => offsets.run(output).await,
            Command::Partner(partner) => partner.run(output).await,
            Command::PointPolicy(policy) => policy.run(output).await,
            Command::Audit(audit) => audit.run(output).await,
            Command::Stack(stack) => stack.run(),
            Command::Completion(completion) => completion.run(),
        }
    }
}
