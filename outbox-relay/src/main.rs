//! The relay: what transactions left in the outbox goes to Kafka.

use std::path::PathBuf;

use anyhow::Context;
use clap::Parser;
use headgate_relay::{Service, config};
use headgate_runtime::{shutdown, telemetry};

/// The relay of Headgate: from the outbox to Kafka
#[derive(Parser)]
#[command(version)]
struct Arguments {
    /// Settings that replace the defaults, as TOML
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Say what is wrong with the settings, and end
    #[arg(long)]
    check_config: bool,
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    let config = config::load(arguments.config.as_ref())?;
    if arguments.check_config {
        return Ok(());
    }
    let telemetry = telemetry::init("headgate-relay", &config.telemetry)?;
    let stop = shutdown::on_signal()?;
    let service = Service::build(config, telemetry.metrics.clone()).await?;
    service.announce();
    service.run_until(stop).await.context("the relay failed")?;
    telemetry.flush();
    Ok(())
}
