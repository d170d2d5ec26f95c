//! Running the client as a process and listening to it.

use std::process::Stdio;
use std::time::Duration;

use anyhow::Context;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::process::Command;
use tokio::sync::mpsc;

use super::client::Line;
use super::{Plan, Report};
use crate::meter::{Meter, Usage};

/// Beyond the planned time, until the client has reported.
const REPORT_TIMEOUT: Duration = Duration::from_mins(1);

/// A claim that was admitted.
#[derive(Clone, Debug)]
pub struct Sample {
    /// Its id.
    pub claim_id: String,
    /// When its answer was read, in microseconds since 1970.
    pub unix_us: u64,
}

/// Carries out the plan; the usage is that of the measured time.
pub async fn run(
    plan: &Plan,
    mut meter: Meter,
    samples: Option<mpsc::Sender<Sample>>,
) -> anyhow::Result<(Report, Usage)> {
    let mut client = Command::new(std::env::current_exe()?)
        .arg("client")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .context("start the load client")?;
    if let Some(pid) = client.id() {
        meter.watch("client", pid);
    }
    let mut stdin = client.stdin.take().context("the client's stdin")?;
    stdin.write_all(serde_json::to_string(plan)?.as_bytes()).await?;
    drop(stdin);
    let stdout = client.stdout.take().context("the client's stdout")?;
    let mut lines = BufReader::new(stdout).lines();
    let listening = async {
        let mut usage = None;
        while let Some(line) = lines.next_line().await? {
            match serde_json::from_str(&line).context("understand the client")? {
                Line::Measuring => meter.begin(),
                Line::Measured => usage = meter.end(),
                Line::Sample { claim_id, unix_us } => {
                    if let Some(samples) = &samples {
                        let _full = samples.try_send(Sample { claim_id, unix_us });
                    }
                }
                Line::Done(report) => return Ok((report, usage.context("no measured time")?)),
            }
        }
        anyhow::bail!("the load client ended without a report")
    };
    let limit = plan.warm_up + plan.measured + REPORT_TIMEOUT;
    tokio::time::timeout(limit, listening)
        .await
        .context("the load client did not report in time")?
}
