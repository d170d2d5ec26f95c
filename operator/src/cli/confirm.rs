//! Asking before something is destroyed.

use std::io::{BufRead, IsTerminal, Write};

use clap::Args;

use super::Error;

/// `--yes`, of every command that destroys.
#[derive(Clone, Copy, Debug, Default, Args)]
pub struct Confirmation {
    /// Do not ask
    #[arg(long, short)]
    yes: bool,
}

impl Confirmation {
    /// Asks on stderr, unless `--yes` was given. Without a terminal nobody could answer:
    /// then it is a refusal.
    pub fn ask(self, question: &str) -> Result<(), Error> {
        if self.yes {
            return Ok(());
        }
        let stdin = std::io::stdin();
        if !stdin.is_terminal() {
            return Err(Error::NotConfirmed);
        }
        let mut stderr = std::io::stderr().lock();
        write!(stderr, "{question} [y/N] ")?;
        stderr.flush()?;
        let mut answer = String::new();
        stdin.lock().read_line(&mut answer)?;
        match answer.trim() {
            "y" | "Y" | "yes" => Ok(()),
            _ => Err(Error::NotConfirmed),
        }
    }
}
