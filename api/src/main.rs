//! The api's process.

use std::path::PathBuf;

use clap::Parser;
use headgate_api::{SERVICE, Service, config, openapi};
use headgate_runtime::{shutdown, telemetry};

/// The public api of Headgate.
#[derive(Parser)]
#[command(version)]
struct Arguments {
    /// A TOML file whose values replace the defaults.
    #[arg(long)]
    config: Option<PathBuf>,
    /// Checks the settings and exits.
    #[arg(long)]
    check_config: bool,
    /// Prints the OpenAPI document and exits.
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
    let config = config::load(arguments.config.as_ref())?;
    if arguments.check_config {
        return Ok(());
    }
    let telemetry = telemetry::init(SERVICE, &config.telemetry)?;
    let stop = shutdown::on_signal()?;
    let service = tokio::select! {
        built = Service::build(config, telemetry.metrics.clone()) => built?,
        () = stop.cancelled() => return Ok(()),
    };
    service.announce();
    let outcome = service.run_until(stop).await;
    tokio::task::spawn_blocking(move || telemetry.flush()).await?;
    Ok(outcome?)
}
