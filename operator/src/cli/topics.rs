//! `headgate topics`.

use clap::{Args, Subcommand};

use super::Error;
use super::config::Config;
use super::output::{Output, table};
use super::progress::Spinner;
use crate::topics::admin::Topics;
use crate::topics::{Planned, Step, wanted};

/// Kafka topics: the catalogue, and making it so
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Lists the topics of the catalogue and how Kafka stands to them
    #[command(after_help = "Example:\n  headgate topics list --output json")]
    List,
    Apply(Apply),
}

/// Creates what is missing and sets what differs
///
/// Never changes the number of partitions of a topic: its keys would move to other
/// partitions, and events of one key would lose their order.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  headgate topics apply\n  headgate topics apply --check")]
pub struct Apply {
    /// Change nothing; exit with 1 when something would be changed
    #[arg(long)]
    check: bool,
}

impl Command {
    pub async fn run(&self, config: &Config, output: Output) -> Result<(), Error> {
        let topics = Topics::new(&config.kafka, config.topics.replication)?;
        let wanted = wanted(&config.kafka.names(), config.topics.replication);
        let planned = {
            let _spinner = Spinner::start("asking Kafka");
            match self {
                Self::Apply(Apply { check: false }) => topics.apply(wanted).await?,
                Self::List | Self::Apply(Apply { check: true }) => topics.plan(wanted).await?,
            }
        };
        print(output, &planned)?;
        let differing = planned
            .iter()
            .filter(|planned| planned.step != Step::Current)
            .count();
        match self {
            Self::Apply(Apply { check: true }) if differing > 0 => Err(Error::Differs(format!(
                "{differing} topics are not as the catalogue says"
            ))),
            _ => Ok(()),
        }
    }
}

fn print(output: Output, planned: &[Planned]) -> Result<(), Error> {
    output.print(&planned, |planned| {
        let mut table = table(&["topic", "partitions", "retention ms", "state"]);
        for Planned { wanted, step } in *planned {
            table.add_row([
                wanted.name.clone(),
                wanted.partitions.to_string(),
                wanted.settings.get("retention.ms").cloned().unwrap_or_default(),
                describe(step),
            ]);
        }
        table
    })?;
    Ok(())
}

fn describe(step: &Step) -> String {
    match step {
        Step::Current => "current".to_owned(),
        Step::Create => "create".to_owned(),
        Step::Configure { settings } => {
            let settings: Vec<_> = settings
                .iter()
                .map(|(name, value)| format!("{name}={value}"))
                .collect();
            format!("configure {}", settings.join(" "))
        }
        Step::Refuse { partitions_found } => format!("refuse: has {partitions_found} partitions"),
    }
}
