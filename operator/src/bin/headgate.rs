//! The command line `headgate`.

use std::process::ExitCode;

use clap::Parser;
use headgate_operator::cli::Cli;

#[tokio::main]
async fn main() -> ExitCode {
    match Cli::parse().run().await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            error.report();
            error.exit_code().into()
        }
    }
}
