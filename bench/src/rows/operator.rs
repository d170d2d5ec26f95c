//! Asking the operator's listener, and how long it takes to answer.

use std::time::{Duration, Instant};

use anyhow::Context;
use hdrhistogram::Histogram;
use reqwest::{Client, Method};
use serde_json::Value;

use crate::load::Latency;
use crate::stack::installation::OPERATOR_TOKEN;
use crate::stack::process::Process;

/// Longest wait for an answer: beyond the operator's own.
const TIMEOUT: Duration = Duration::from_secs(40);
const SLOWEST_US: u64 = 120_000_000;
/// Not counted: pages that are read for the first time, statements that are prepared.
const FIRST_ASKED: u32 = 5;

/// A client of the operator's listener; one request at a time.
#[derive(Clone, Debug)]
pub struct Operator {
    base: String,
    client: Client,
}

impl Operator {
    /// Of a process that runs.
    pub fn of(process: &Process) -> anyhow::Result<Self> {
        let address = process.http.context("the operator listens")?;
        Ok(Self {
            base: format!("http://{address}"),
            client: Client::builder().timeout(TIMEOUT).build()?,
        })
    }

    /// The answer to a GET.
    pub async fn get(&self, path: &str) -> anyhow::Result<Value> {
        self.ask(Method::GET, path, None).await
    }

    /// The answer to a POST.
    pub async fn post(&self, path: &str, body: &Value) -> anyhow::Result<Value> {
        self.ask(Method::POST, path, Some(body)).await
    }

    async fn ask(&self, method: Method, path: &str, body: Option<&Value>) -> anyhow::Result<Value> {
        let mut request = self
            .client
            .request(method, format!("{}{path}", self.base))
            .bearer_auth(OPERATOR_TOKEN);
        if let Some(body) = body {
            request = request.json(body);
        }
        let answer = request.send().await.with_context(|| format!("ask {path}"))?;
        let status = answer.status();
        let text = answer.text().await?;
        anyhow::ensure!(status.is_success(), "{path}: {status} {text}");
        Ok(serde_json::from_str(&text)?)
    }
}

/// Does it again and again for so many seconds, one after the other; the first few do not
/// count. Also how often that was.
pub async fn repeated<T>(
    seconds: u64,
    again: impl AsyncFn() -> anyhow::Result<T>,
) -> anyhow::Result<(Latency, u64)> {
    for _ in 0..FIRST_ASKED {
        again().await?;
    }
    let mut micros = Histogram::<u64>::new_with_bounds(1, SLOWEST_US, 3)?;
    let begin = Instant::now();
    while micros.is_empty() || begin.elapsed() < Duration::from_secs(seconds) {
        let asked = Instant::now();
        again().await?;
        micros.saturating_record(u64::try_from(asked.elapsed().as_micros())?);
    }
    Ok((latency(&micros), micros.len()))
}

/// Milliseconds of a histogram of microseconds.
fn latency(micros: &Histogram<u64>) -> Latency {
    let at = |quantile| micros.value_at_quantile(quantile) as f64 / 1_000.0;
    Latency {
        p50: at(0.5),
        p95: at(0.95),
        p99: at(0.99),
        p999: at(0.999),
        max: at(1.0),
    }
}
