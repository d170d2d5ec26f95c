//! The relay: what transactions left in the outbox goes to Kafka.

use clap::Parser;
use headgate_relay::{Service, config};
use headgate_runtime::program::{self, UsualArguments};

/// The relay of Headgate: from the outbox to Kafka
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
    program::run("headgate-relay", &telemetry, build, run).await?;
    Ok(())
}
