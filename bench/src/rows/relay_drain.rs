//! How fast the relay drains a backlog, with the archive off and on.

use std::time::{Duration, Instant};

use anyhow::Context;
use headgate_outbox::bucket::Bucket;
use serde::Deserialize;
use sqlx::{MySql, MySqlPool, QueryBuilder};
use uuid::Uuid;

use crate::bench::Bench;
use crate::report::{Beside, Row};
use crate::stack::installation::{Installation, Service};
use crate::stack::process::Process;

/// The backlog.
const ROWS: u32 = 300_000;
const ROWS_PER_INSERT: u32 = 1_000;
/// Bytes of an event behind the wire format's header, as `ClaimAdmitted` has them.
const DATUM_BYTES: usize = 190;
/// The rate is taken between these shares of the backlog: without start and end.
const FROM: f64 = 0.1;
const TO: f64 = 0.9;
const LOOK_EVERY: Duration = Duration::from_millis(20);
const TIMEOUT: Duration = Duration::from_mins(5);
const EVENT: &str = "io.headgate.coupons.ClaimAdmitted";

/// Measures both.
pub async fn run(bench: &Bench) -> anyhow::Result<()> {
    measure(bench, false).await?;
    measure(bench, true).await
}

async fn measure(bench: &Bench, archive: bool) -> anyhow::Result<()> {
    let installation = bench.installation("relay-drain").await?;
    let topic = format!("{}headgate.coupons", installation.kafka_prefix);
    let schema = schema_id(&bench.servers.registry_url, &topic).await?;
    fill(&installation.pool, &topic, schema).await?;
    bench.probe_disk().await?;
    let (value, name) = if archive { ("true", "on") } else { ("false", "off") };
    let settings = [("HEADGATE_RELAY__ARCHIVE", value)];
    let begun = Instant::now();
    let relay = installation.start(Service::Relay, &settings).await?;
    let mut meter = bench.servers.meter();
    meter.watch(&relay.name, relay.pid);
    meter.begin();
    let rate = drained(&relay, begun).await?;
    let mut row = Row::new(
        format!("relay drain of {ROWS} rows, archive {name}"),
        rate.per_second,
        "/s",
    )
    .beside(Beside::Relay)
    .note(format!(
        "from {:.0} % to {:.0} % of the backlog; {:.2} s from the start of the process to the last row",
        FROM * 100.0,
        TO * 100.0,
        rate.all.as_secs_f64()
    ));
    if let Some(usage) = meter.end() {
        row = row.used(usage);
    }
    bench.add(row)?;
    relay.stop().await?;
    let left: i64 = sqlx::query_scalar("SELECT COUNT(*) FROM outbox")
        .fetch_one(&installation.pool)
        .await?;
    anyhow::ensure!(left == 0, "{left} rows are left in the outbox");
    expect_archived(&installation, if archive { i64::from(ROWS) } else { 0 }).await?;
    installation.remove().await
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

struct Rate {
    per_second: f64,
    all: Duration,
}

/// Waits until everything is published.
async fn drained(relay: &Process, begun: Instant) -> anyhow::Result<Rate> {
    let rows = f64::from(ROWS);
    let mut reached: [Option<(Instant, f64)>; 2] = [None, None];
    let looking = async {
        loop {
            let published = published(&relay.metrics().await?);
            let now = Instant::now();
            for (reached, share) in reached.iter_mut().zip([FROM, TO]) {
                if published >= rows * share {
                    reached.get_or_insert((now, published));
                }
            }
            if published >= rows {
                return anyhow::Ok(());
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
    };
    tokio::time::timeout(TIMEOUT, looking)
        .await
        .context("the backlog is not drained")??;
    let [Some((from, first)), Some((to, last))] = reached else {
        anyhow::bail!("the shares were not reached");
    };
    anyhow::ensure!(to > from, "the backlog was drained between two looks");
    Ok(Rate {
        per_second: (last - first) / (to - from).as_secs_f64(),
        all: begun.elapsed(),
    })
}

fn published(metrics: &str) -> f64 {
    let value = metrics
        .lines()
        .find_map(|line| line.strip_prefix("headgate_relay_published_total "));
    value.and_then(|value| value.parse().ok()).unwrap_or_default()
}

/// Id of the event's schema.
async fn schema_id(registry: &str, topic: &str) -> anyhow::Result<u32> {
    #[derive(Deserialize)]
    struct Version {
        id: u32,
    }
    let url = format!(
        "{}/subjects/{topic}-{EVENT}/versions/latest",
        registry.trim_end_matches('/')
    );
    let answer = reqwest::get(url).await?.error_for_status()?;
    Ok(answer.json::<Version>().await?.id)
}

/// Rows as the api writes them, each of an aggregate of its own.
async fn fill(pool: &MySqlPool, topic: &str, schema: u32) -> anyhow::Result<()> {
    let mut payload = vec![0];
    payload.extend(schema.to_be_bytes());
    payload.resize(payload.len() + DATUM_BYTES, 0);
    // As an id of now: microseconds, then the number of a process.
    let first = u64::try_from(chrono::Utc::now().timestamp_micros())? << 12;
    for piece in 0..ROWS / ROWS_PER_INSERT {
        let mut insert = QueryBuilder::<MySql>::new(
            "INSERT INTO outbox (bucket, id, event_id, aggregate_type, aggregate_id, event_type, sequence, topic,
                 payload, created_at) ",
        );
        insert.push_values(0..ROWS_PER_INSERT, |mut values, row| {
            let claim = Uuid::now_v7().to_string();
            values
                .push_bind(Bucket::of(&claim).get())
                .push_bind(first + (u64::from(piece * ROWS_PER_INSERT + row) << 12))
                .push_bind(Uuid::now_v7())
                .push_bind("claim")
                .push_bind(claim.into_bytes())
                .push_bind(EVENT)
                .push_bind(1_u64)
                .push_bind(topic)
                .push_bind(payload.as_slice())
                .push_bind(chrono::Utc::now());
        });
        insert.build().execute(pool).await?;
    }
    Ok(())
}
