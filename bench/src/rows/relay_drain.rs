//! How fast the relay drains a backlog: with the archive off beside a plain relay, with
//! it on beside Debezium.

use std::time::{Duration, Instant};

use anyhow::Context;

use super::debezium;
use super::outbox::Outbox;
use super::plain_loop::PlainLoop;
use crate::bench::Bench;
use crate::report::{Beside, Row};
use crate::span::{self, Span};
use crate::stack::installation::{Installation, Service};
use crate::stack::process::Process;

/// The backlog.
pub const ROWS: u32 = 300_000;
const LOOK_EVERY: Duration = Duration::from_millis(20);
const TIMEOUT: Duration = Duration::from_mins(5);
const PLAIN: &str = "plain relay loop, four workers";

/// Measures both.
pub async fn run(bench: &Bench) -> anyhow::Result<()> {
    archive_off(bench).await?;
    archive_on(bench).await
}

async fn archive_off(bench: &Bench) -> anyhow::Result<()> {
    let installation = bench.installation("relay-drain").await?;
    let outbox = Outbox::of(bench, &installation).await?;
    outbox.fill(ROWS).await?;
    let plain = PlainLoop {
        what: PLAIN.to_owned(),
        does: "SELECT of a bucket's next 4,000 rows, send, wait for all acknowledgements, DELETE of the range; \
               acks=all, idempotent; no leases, no poison rows, two headers",
        command: "bare-relay",
        options: vec![
            ("mysql-url", installation.mysql_url()),
            ("kafka", bench.servers.kafka.clone()),
            ("rows", ROWS.to_string()),
        ],
    };
    let plain = plain.measure(bench).await?;
    outbox.expect_empty().await?;
    outbox.fill(ROWS).await?;
    let row = drain(bench, &installation, "off", "false").await?;
    bench.add(row.against(PLAIN, plain))?;
    outbox.expect_empty().await?;
    expect_archived(&installation, 0).await?;
    installation.remove().await
}

async fn archive_on(bench: &Bench) -> anyhow::Result<()> {
    let reference = debezium::measure(bench).await?;
    let installation = bench.installation("relay-drain").await?;
    let outbox = Outbox::of(bench, &installation).await?;
    outbox.fill(ROWS).await?;
    let row = drain(bench, &installation, "on", "true").await?;
    bench.add(match reference {
        Some(warm) => row.against(debezium::WARM, warm),
        None => row.note(debezium::MISSING),
    })?;
    outbox.expect_empty().await?;
    expect_archived(&installation, i64::from(ROWS)).await?;
    installation.remove().await
}

/// Lets our relay drain what is there.
async fn drain(bench: &Bench, installation: &Installation, name: &str, value: &str) -> anyhow::Result<Row> {
    bench.probe_disk().await?;
    let settings = [("HEADGATE_RELAY__ARCHIVE", value)];
    let begun = Instant::now();
    let relay = installation.start(Service::Relay, &settings).await?;
    let mut meter = bench.servers.meter();
    meter.watch(&relay.name, relay.pid);
    meter.begin();
    let per_second = drained(&relay).await?;
    let all = begun.elapsed();
    let mut row = Row::new(
        format!("relay drain of {ROWS} rows, archive {name}"),
        per_second,
        "/s",
    )
    .beside(Beside::Relay)
    .note(format!(
        "{}; {:.2} s from the start of the process to the last row",
        span::in_words(),
        all.as_secs_f64()
    ));
    if let Some(usage) = meter.end() {
        row = row.used(usage);
    }
    relay.stop().await?;
    Ok(row)
}

async fn expect_archived(installation: &Installation, expected: i64) -> anyhow::Result<()> {
    let archived: i64 = sqlx::query_scalar("SELECT COUNT(*) FROM outbox_archive")
        .fetch_one(&installation.pool)
        .await?;
    anyhow::ensure!(
        archived == expected,
        "{archived} rows in the archive, not {expected}"
    );
    Ok(())
}

/// Waits until everything is published; rows a second.
async fn drained(relay: &Process) -> anyhow::Result<f64> {
    let mut span = Span::of(ROWS);
    let looking = async {
        while !span.see(published(&relay.metrics().await?)) {
            tokio::time::sleep(LOOK_EVERY).await;
        }
        anyhow::Ok(())
    };
    tokio::time::timeout(TIMEOUT, looking)
        .await
        .context("the backlog is not drained")??;
    span.per_second()
}

fn published(metrics: &str) -> f64 {
    let value = metrics
        .lines()
        .find_map(|line| line.strip_prefix("headgate_relay_published_total "));
    value.and_then(|value| value.parse().ok()).unwrap_or_default()
}
