//! What the programs of all services do alike: arguments, telemetry, signals, and a life
//! from the first line to the last span.

use std::error::Error as StdError;
use std::path::PathBuf;

use metrics_exporter_prometheus::PrometheusHandle;

use crate::shutdown::{self, CancellationToken};
use crate::{config, telemetry};

/// The arguments that every service takes.
#[derive(Debug, clap::Args)]
pub struct UsualArguments {
    /// Settings that replace the defaults, as TOML
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Say what is wrong with the settings, and end
    #[arg(long)]
    check_config: bool,
}

impl UsualArguments {
    /// Reads the settings. `None`: they are in order, and nothing else was asked for.
    pub fn settings<C>(
        &self,
        load: impl FnOnce(Option<&PathBuf>) -> Result<C, config::Error>,
    ) -> Result<Option<C>, config::Error> {
        let settings = load(self.config.as_ref())?;
        Ok((!self.check_config).then_some(settings))
    }
}

/// The program ends with this.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Logs, metrics or traces.
    #[error("logs, metrics and traces cannot be set up")]
    Telemetry(#[from] telemetry::Error),
    /// SIGINT or SIGTERM.
    #[error("the process cannot listen for signals")]
    Signals(#[source] std::io::Error),
    /// The service could not be made.
    #[error("the service cannot begin")]
    Build(#[source] Box<dyn StdError + Send + Sync>),
    /// The service ended by itself.
    #[error("the service failed")]
    Run(#[source] Box<dyn StdError + Send + Sync>),
}

/// Runs the service `name`: sets up telemetry, builds, runs until a signal asks to stop,
/// and sends the last spans. A signal that comes while it is built ends it, too. Call
/// once, in `main`.
pub async fn run<S, B, R>(
    name: &'static str,
    telemetry: &telemetry::Config,
    build: impl AsyncFnOnce(PrometheusHandle) -> Result<S, B>,
    run_until: impl AsyncFnOnce(S, CancellationToken) -> Result<(), R>,
) -> Result<(), Error>
where
    B: StdError + Send + Sync + 'static,
    R: StdError + Send + Sync + 'static,
{
    let telemetry = telemetry::init(name, telemetry)?;
    let stop = shutdown::on_signal().map_err(Error::Signals)?;
    let service = tokio::select! {
        made = build(telemetry.metrics.clone()) => made.map_err(|error| Error::Build(error.into()))?,
        () = stop.cancelled() => return Ok(()),
    };
    let outcome = run_until(service, stop).await;
    // It blocks, and a failure is in the log.
    let _flushed = tokio::task::spawn_blocking(move || telemetry.flush()).await;
    outcome.map_err(|error| Error::Run(error.into()))
}
