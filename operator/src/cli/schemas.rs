//! `headgate schemas`.

use clap::Subcommand;
use headgate_runtime::registry::{Registry, SchemaState, SubjectState};

use super::Error;
use super::config::Config;
use super::output::{Output, table};
use super::progress::Spinner;

/// Avro schemas in the schema registry
#[derive(Debug, Clone, Copy, Subcommand)]
pub enum Command {
    /// Registers the contract's schemas, compatible with all earlier versions
    ///
    /// Registering again changes nothing. A schema that readers of earlier data could
    /// not be moved to is refused by the registry.
    #[command(after_help = "Example:\n  headgate schemas register")]
    Register,
    /// Says what registering would change; exits with 1 when it is something
    #[command(after_help = "Example:\n  headgate schemas check --output json")]
    Check,
}

impl Command {
    pub async fn run(self, config: &Config, output: Output) -> Result<(), Error> {
        let registry = Registry::new(&config.registry)?;
        let names = config.kafka.names();
        let states = {
            let _spinner = Spinner::start("asking the schema registry");
            if matches!(self, Self::Register) {
                registry.register_all(&names).await?;
            }
            registry.check_all(&names).await?
        };
        print(output, &states)?;
        let unregistered = states
            .iter()
            .filter(|subject| !matches!(subject.state, SchemaState::Registered { .. }))
            .count();
        if unregistered > 0 {
            return Err(Error::Differs(format!(
                "{unregistered} schemas are not registered"
            )));
        }
        Ok(())
    }
}

fn print(output: Output, states: &[SubjectState]) -> Result<(), Error> {
    output.print(&states, |states| {
        let mut table = table(&["subject", "state", "schema id"]);
        for SubjectState { subject, state } in *states {
            let (state, id) = match state {
                SchemaState::Registered { schema_id } => ("registered", schema_id.to_string()),
                SchemaState::Missing => ("missing", String::new()),
                SchemaState::Incompatible => ("incompatible", String::new()),
            };
            table.add_row([subject.clone(), state.to_owned(), id]);
        }
        table
    })?;
    Ok(())
}
