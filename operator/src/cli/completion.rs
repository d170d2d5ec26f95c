//! `headgate completion`.

use clap::{Args, CommandFactory};
use clap_complete::Shell;

use super::{Cli, Error};

/// Prints a completion script for a shell
#[derive(Debug, Args)]
#[command(
    after_help = "Example:\n  headgate completion bash > ~/.local/share/bash-completion/completions/headgate"
)]
pub struct Completion {
    /// Which shell
    shell: Shell,
}

impl Completion {
    pub fn run(&self) -> Result<(), Error> {
        let mut script = Vec::new();
        clap_complete::generate(self.shell, &mut Cli::command(), "headgate", &mut script);
        super::output::write(&script)?;
        Ok(())
    }
}
