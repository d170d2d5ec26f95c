//! The client's process: a plan comes by stdin, lines of JSON go to stdout.

use std::io::{Read, Write};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Context, anyhow};
use serde::{Deserialize, Serialize};
use tokio::sync::mpsc;

use super::drive::{Shared, drive};
use super::pace::Schedule;
use super::tally::Tally;
use super::{Plan, Report};
use crate::meter;

/// Samples that may wait to be written.
const SAMPLES_WAITING: usize = 4_096;
/// Answers that are under way at the end are waited for this long.
const LAST_ANSWERS: Duration = Duration::from_secs(30);

/// A line on the client's stdout.
#[derive(Debug, Serialize, Deserialize)]
#[serde(tag = "line", rename_all = "kebab-case")]
pub enum Line {
    /// The warm-up is over.
    Measuring,
    /// The measured time is over.
    Measured,
    /// A claim was admitted.
    Sample {
        /// Its id.
        claim_id: String,
        /// When its answer was read, in microseconds since 1970.
        unix_us: u64,
    },
    /// The last line.
    Done(Report),
}

/// Reads the plan, carries it out, reports.
pub fn main() -> anyhow::Result<()> {
    let mut text = String::new();
    std::io::stdin()
        .read_to_string(&mut text)
        .context("read the plan")?;
    let plan: Plan = serde_json::from_str(&text).context("understand the plan")?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("start the client")?;
    let report = runtime.block_on(carry_out(plan))?;
    say(&Line::Done(report))
}

async fn carry_out(plan: Plan) -> anyhow::Result<Report> {
    let begin = Instant::now();
    let measured = (begin + plan.warm_up, begin + plan.warm_up + plan.measured);
    let (samples, told) = mpsc::channel(SAMPLES_WAITING);
    let shared = Arc::new(Shared {
        schedule: Schedule::new(plan.pace, begin, measured.1),
        measured,
        samples,
        plan,
    });
    let plan = &shared.plan;
    let threads: Vec<_> = (0..plan.threads)
        .map(|number| {
            let share =
                plan.connections / plan.threads + usize::from(number < plan.connections % plan.threads);
            let shared = shared.clone();
            thread::spawn(move || drive(&shared, share))
        })
        .collect();
    let telling = tokio::spawn(tell(told));
    let cpu_seconds = watch(measured).await?;
    let tally = tokio::time::timeout(LAST_ANSWERS, tokio::task::spawn_blocking(|| join(threads)))
        .await
        .context("wait for the last answers")???;
    let report = report(&tally, &shared, cpu_seconds);
    drop(shared);
    telling.await?;
    Ok(report)
}

/// Announces the measured time; returns the CPU seconds used within it.
async fn watch((from, until): (Instant, Instant)) -> anyhow::Result<f64> {
    tokio::time::sleep_until(from.into()).await;
    say(&Line::Measuring)?;
    let before = meter::cpu_seconds(std::process::id());
    tokio::time::sleep_until(until.into()).await;
    let used = meter::cpu_seconds(std::process::id())
        .zip(before)
        .map(|(after, before)| after - before);
    say(&Line::Measured)?;
    used.context("read the client's own CPU time")
}

fn join(threads: Vec<thread::JoinHandle<anyhow::Result<Tally>>>) -> anyhow::Result<Tally> {
    let mut total: Option<Tally> = None;
    for thread in threads {
        let tally = thread.join().map_err(|_| anyhow!("a client thread panicked"))??;
        match &mut total {
            Some(total) => total.merge(&tally)?,
            None => total = Some(tally),
        }
    }
    total.context("a client has at least one thread")
}

fn report(tally: &Tally, shared: &Shared, cpu_seconds: f64) -> Report {
    let since_last = tally.last.map_or(Duration::ZERO, |last| last.elapsed());
    let last = SystemTime::now() - since_last;
    Report {
        outcomes: tally.measured.clone(),
        outcomes_of_all: tally.all.clone(),
        seconds: shared.plan.measured.as_secs_f64(),
        latency: tally.latency(),
        cpu_seconds,
        threads: shared.plan.threads,
        last_answer_unix_us: unix_us(last),
    }
}

async fn tell(mut samples: mpsc::Receiver<String>) {
    while let Some(claim_id) = samples.recv().await {
        let sample = Line::Sample {
            claim_id,
            unix_us: unix_us(SystemTime::now()),
        };
        if say(&sample).is_err() {
            return;
        }
    }
}

/// Microseconds since 1970.
pub fn unix_us(time: SystemTime) -> u64 {
    time.duration_since(UNIX_EPOCH)
        .ok()
        .and_then(|since| u64::try_from(since.as_micros()).ok())
        .unwrap_or_default()
}

fn say(line: &Line) -> anyhow::Result<()> {
    let mut stdout = std::io::stdout().lock();
    writeln!(stdout, "{}", serde_json::to_string(line)?)?;
    stdout.flush().context("write to stdout")
}
