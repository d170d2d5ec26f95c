//! Logs, metrics and traces.

use std::io::IsTerminal;
use std::time::Duration;

use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};
use opentelemetry::propagation::TextMapPropagator;
use opentelemetry::trace::TracerProvider as _;
use opentelemetry_otlp::WithExportConfig;
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::propagation::TraceContextPropagator;
use opentelemetry_sdk::trace::{Sampler, SdkTracerProvider};
use serde::Deserialize;
use tracing_opentelemetry::OpenTelemetrySpanExt;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

/// Section `telemetry` of the configuration.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// `text` for people, `json` for machines.
    pub log_format: LogFormat,
    /// A filter such as `info,headgate_api=debug`. `RUST_LOG` wins.
    pub log_filter: String,
    /// Where traces go by OTLP over HTTP, e.g. `http://collector:4318`. Empty: nowhere.
    pub otlp_endpoint: String,
    /// Share of traces that are kept, 0 to 1, decided where a trace begins.
    pub trace_ratio: f64,
}

/// How log lines look.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// For people.
    Text,
    /// For machines.
    Json,
}

impl Config {
    /// What is wrong with it.
    pub fn faults(&self) -> Vec<String> {
        let mut faults = Vec::new();
        let in_range = (0.0..=1.0).contains(&self.trace_ratio);
        crate::config::require(
            &mut faults,
            in_range,
            "telemetry.trace_ratio must lie between 0 and 1",
        );
        if let Err(error) = EnvFilter::try_new(&self.log_filter) {
            faults.push(format!("telemetry.log_filter is no filter: {error}"));
        }
        faults
    }
}

/// Bounds of the latency histograms, in seconds.
const SECONDS_BUCKETS: &[f64] = &[
    0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0, 60.0,
];

/// Longest wait for an export.
const EXPORT_TIMEOUT: Duration = Duration::from_secs(5);

/// Telemetry could not be set up.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Metrics.
    #[error("metrics cannot be set up")]
    Metrics(#[from] metrics_exporter_prometheus::BuildError),
    /// Traces.
    #[error("the trace exporter cannot be set up")]
    Traces(#[from] opentelemetry_otlp::ExporterBuildError),
    /// The filter of `RUST_LOG`.
    #[error("the log filter is wrong")]
    Filter(#[from] tracing_subscriber::filter::ParseError),
}

/// Keeps telemetry alive; flushes traces when told to.
pub struct Telemetry {
    /// Renders `/metrics`.
    pub metrics: PrometheusHandle,
    traces: Option<SdkTracerProvider>,
}

impl Telemetry {
    /// Sends what is left. Blocks: call it last.
    pub fn flush(&self) {
        if let Some(Err(error)) = self.traces.as_ref().map(SdkTracerProvider::shutdown) {
            tracing::debug!(%error, "the last spans were not sent");
        }
    }
}

/// A metrics recorder that is not the process's own: for tests that run several
/// services in one process.
pub fn metrics_recorder() -> Result<PrometheusBuilder, Error> {
    Ok(PrometheusBuilder::new()
        .set_buckets_for_metric(Matcher::Suffix("_seconds".to_owned()), SECONDS_BUCKETS)?)
}

/// Shows counters at 0 before anything is counted: an alert on an increase would miss the
/// first of a counter that appears with it.
pub fn show_counters(names: &[&'static str]) {
    for name in names {
        metrics::counter!(*name).increment(0);
    }
}

/// Sets up logs, metrics and traces of this process. Call once, in `main`.
pub fn init(service: &'static str, config: &Config) -> Result<Telemetry, Error> {
    let filter = std::env::var("RUST_LOG").unwrap_or_else(|_| config.log_filter.clone());
    let filter = EnvFilter::try_new(filter)?;
    let (text, json) = match config.log_format {
        LogFormat::Text => (
            Some(
                tracing_subscriber::fmt::layer()
                    // A file would hold the terminal's colours as noise.
                    .with_ansi(std::io::stderr().is_terminal())
                    .with_writer(std::io::stderr),
            ),
            None,
        ),
        LogFormat::Json => (
            None,
            Some(
                tracing_subscriber::fmt::layer()
                    .json()
                    .with_writer(std::io::stderr),
            ),
        ),
    };
    let traces = provider(service, config)?;
    let spans = traces
        .as_ref()
        .map(|provider| tracing_opentelemetry::layer().with_tracer(provider.tracer(service)));
    tracing_subscriber::registry()
        .with(filter)
        .with(spans)
        .with(text)
        .with(json)
        .init();
    let metrics = metrics_recorder()?.install_recorder()?;
    Ok(Telemetry { metrics, traces })
}

fn provider(service: &'static str, config: &Config) -> Result<Option<SdkTracerProvider>, Error> {
    if config.otlp_endpoint.is_empty() {
        return Ok(None);
    }
    let exporter = opentelemetry_otlp::SpanExporter::builder()
        .with_http()
        .with_endpoint(format!(
            "{}/v1/traces",
            config.otlp_endpoint.trim_end_matches('/')
        ))
        .with_timeout(EXPORT_TIMEOUT)
        .build()?;
    let sampler = Sampler::ParentBased(Box::new(Sampler::TraceIdRatioBased(config.trace_ratio)));
    Ok(Some(
        SdkTracerProvider::builder()
            .with_batch_exporter(exporter)
            .with_sampler(sampler)
            .with_resource(Resource::builder().with_service_name(service).build())
            .build(),
    ))
}

/// The current span as a `traceparent`, to travel with an event. `None` when it is
/// not traced.
pub fn current_traceparent() -> Option<String> {
    let mut carrier = std::collections::HashMap::new();
    TraceContextPropagator::new().inject_context(&tracing::Span::current().context(), &mut carrier);
    carrier.remove("traceparent")
}

/// Makes `span` a child of the request or event that `traceparent` names.
pub fn set_parent(span: &tracing::Span, traceparent: Option<&str>) {
    let Some(traceparent) = traceparent else { return };
    let carrier = std::collections::HashMap::from([("traceparent".to_owned(), traceparent.to_owned())]);
    let parent = TraceContextPropagator::new().extract(&carrier);
    // Fails only where the span is not recorded, and then there is nothing to link.
    let _unrecorded = span.set_parent(parent);
}
