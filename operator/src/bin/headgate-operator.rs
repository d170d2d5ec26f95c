//! The operator's HTTP listener.

use clap::Parser;
use headgate_operator::{Service, config};
use headgate_runtime::program::{self, UsualArguments};

/// The operator's HTTP listener of Headgate
#[derive(Parser)]
#[command(version)]
struct Arguments {
    #[command(flatten)]
    usual: UsualArguments,
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let Some(config) = Arguments::parse().usual.settings(config::load)? else {
        return Ok(());
    };
    let telemetry = config.telemetry.clone();
    let build = async |metrics| Service::build(config, metrics).await;
    let run = async |service: Service, stop| {
        service.announce();
        service.run_until(stop).await
    };
    program::run("headgate-operator", &telemetry, build, run).await?;
    Ok(())
}
