//! The api's process.

use clap::Parser;
use headgate_api::{SERVICE, Service, config, openapi};
use headgate_runtime::program::{self, UsualArguments};

/// The public api of Headgate
#[derive(Parser)]
#[command(version)]
struct Arguments {
    #[command(flatten)]
    usual: UsualArguments,
    /// Print the OpenAPI document, and end
    #[arg(long)]
    print_openapi: bool,
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    if arguments.print_openapi {
        print!("{}", openapi::document()?);
        return Ok(());
    }
    let Some(config) = arguments.usual.settings(config::load)? else {
        return Ok(());
    };
    let telemetry = config.telemetry.clone();
    let build = async |metrics| Service::build(config, metrics).await;
    let run = async |service: Service, stop| {
        service.announce();
        service.run_until(stop).await
    };
    program::run(SERVICE, &telemetry, build, run).await?;
    Ok(())
}
