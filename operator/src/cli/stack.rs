//! `headgate stack`: the servers of a development machine.

use std::path::{Path, PathBuf};
use std::process::Command as Process;

use clap::{Args, Subcommand};

use super::Error;

/// Where the stack's program is in the repository.
const PROGRAM: &str = "deploy/local/stack.py";

/// The real servers on a development machine: MySQL, Redis, Kafka, schema registry
///
/// Runs deploy/local/stack.py of the repository that the current folder lies in.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Starts the servers
    #[command(after_help = "Example:\n  headgate stack up -- --only mysql")]
    Up(Arguments),
    /// Stops the servers
    #[command(after_help = "Example:\n  headgate stack down")]
    Down(Arguments),
    /// Says which servers run
    #[command(after_help = "Example:\n  headgate stack status")]
    Status(Arguments),
    /// Shows the servers' logs
    #[command(after_help = "Example:\n  headgate stack logs kafka")]
    Logs(Arguments),
}

#[derive(Debug, Args)]
pub struct Arguments {
    /// Handed on to the stack's program as they are
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    arguments: Vec<String>,
}

impl Command {
    pub fn run(&self) -> Result<(), Error> {
        let (verb, Arguments { arguments }) = match self {
            Self::Up(arguments) => ("up", arguments),
            Self::Down(arguments) => ("down", arguments),
            Self::Status(arguments) => ("status", arguments),
            Self::Logs(arguments) => ("logs", arguments),
        };
        let program = find(&std::env::current_dir()?)?;
        let status = Process::new("python3")
            .arg(program)
            .arg(verb)
            .args(arguments)
            .status()?;
        if status.success() {
            Ok(())
        } else {
            Err(Error::Refused(format!("`stack {verb}` failed: {status}"), None))
        }
    }
}

/// The stack's program, here or in a folder above.
fn find(here: &Path) -> Result<PathBuf, Error> {
    here.ancestors()
        .map(|folder| folder.join(PROGRAM))
        .find(|program| program.is_file())
        .ok_or_else(|| Error::Usage(format!("{PROGRAM} is neither here nor in a folder above")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_program_is_found_from_any_folder_of_the_repository() {
        let here = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/cli");
        assert!(find(&here).expect("the repository has it").ends_with(PROGRAM));
        assert!(find(Path::new("/")).is_err());
    }
}
