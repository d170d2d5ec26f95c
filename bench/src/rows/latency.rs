//! From the answer to the coupon: at a pace the product is to keep up with, and at
//! full rate.

use std::collections::HashMap;
use std::time::{Duration, Instant, SystemTime};

use anyhow::Context;
use hdrhistogram::Histogram;
use sqlx::{MySql, MySqlPool, QueryBuilder, Row as _};
use tokio::sync::mpsc;
use uuid::Uuid;

use super::{backlog, claims};
use crate::bench::Bench;
use crate::load::client::unix_us;
use crate::load::{self, ADMITTED, Pace, Plan, Report, Sample};
use crate::meter::{Meter, Usage};
use crate::report::{Beside, Row};
use crate::stack::installation::{Installation, Service};

/// Claims a second that the requirement asks for.
const PER_SECOND: u32 = 5_000;
/// Enough that a slow answer does not delay the requests behind it.
const PACED_CONNECTIONS: usize = 1_024;
const FULL_CONNECTIONS: usize = 256;
/// Of so many admitted claims one is followed to its coupon.
const PACED_SAMPLE_EVERY: u64 = 20;
const FULL_SAMPLE_EVERY: u64 = 200;
/// How often the coupons of the samples are looked for.
const LOOK_EVERY: Duration = Duration::from_millis(3);
/// Samples that may be looked for at once.
const SAMPLES_WAITING: usize = 4_096;
const SLOWEST_US: u64 = 600_000_000;
/// Longest wait for the last coupon.
const COUPONS_TIMEOUT: Duration = Duration::from_mins(3);

/// Measures both.
pub async fn run(bench: &Bench) -> anyhow::Result<()> {
    let paced = Pace::Open {
        per_second: PER_SECOND,
    };
    measure(bench, paced, PACED_CONNECTIONS, PACED_SAMPLE_EVERY).await?;
    measure(bench, Pace::Closed, FULL_CONNECTIONS, FULL_SAMPLE_EVERY).await
}

async fn measure(bench: &Bench, pace: Pace, connections: usize, sample_every: u64) -> anyhow::Result<()> {
    let installation = bench.installation("latency").await?;
    let api = installation.start(Service::Api, &[]).await?;
    let relay = installation.start(Service::Relay, &[]).await?;
    let consumers = installation.start(Service::Consumers, &[]).await?;
    let campaign = installation.campaign(&api, claims::QUOTA).await?;
    let mut plan = bench.plan(&api, vec![campaign], &installation.api_key, connections, pace)?;
    plan.sample_every = Some(sample_every);
    let mut meter = bench.servers.meter();
    for process in [&api, &relay, &consumers] {
        meter.watch(&process.name, process.pid);
    }
    bench.probe_disk().await?;
    let followed = follow(&installation, &plan, meter).await?;
    let report = &followed.report;
    let admitted = report.total(ADMITTED);
    let backlog = backlog::until_issued(&installation, admitted, followed.ended).await?;

    let name = match pace {
        Pace::Closed => "at full rate".to_owned(),
        Pace::Open { per_second } => format!("at {per_second} claims/s"),
    };
    bench.add(
        Row::new(format!("claims {name}"), report.rate(ADMITTED), "/s")
            .beside(Beside::Both)
            .answered(report, ADMITTED, followed.usage.clone()),
    )?;
    bench.add(
        Row::new(format!("admission to coupon {name}: p99"), followed.p99(), "ms")
            .beside(Beside::Both)
            .note(followed.in_words()),
    )?;
    bench.add(
        Row::new(
            format!("backlog {name}: gone after the last claim"),
            backlog.gone_after.as_secs_f64() * 1_000.0,
            "ms",
        )
        .beside(Beside::Both)
        .note(backlog.to_string()),
    )?;
    api.stop().await?;
    relay.stop().await?;
    consumers.stop().await?;
    installation.remove().await
}

/// Claims whose samples were followed to their coupons.
#[derive(Debug)]
pub struct Followed {
    /// What the client saw.
    pub report: Report,
    /// Within the measured time.
    pub usage: Usage,
    /// When the client had its last answer.
    pub ended: Instant,
    /// Microseconds from an answer to the coupon.
    visible: Histogram<u64>,
}

impl Followed {
    /// The 99th percentile from the answer to the coupon, in milliseconds.
    pub fn p99(&self) -> f64 {
        milliseconds(&self.visible, 0.99)
    }

    /// For a note.
    pub fn in_words(&self) -> String {
        format!(
            "of {} claims: p50 {:.0} ms, max {:.0} ms, from the answer until a SELECT sees the coupon",
            self.visible.len(),
            milliseconds(&self.visible, 0.5),
            milliseconds(&self.visible, 1.0),
        )
    }
}

/// Carries out the plan, and follows its samples to their coupons.
pub async fn follow(installation: &Installation, plan: &Plan, meter: Meter) -> anyhow::Result<Followed> {
    let (samples, told) = mpsc::channel(SAMPLES_WAITING);
    let looking = tokio::spawn(look_for(installation.pool.clone(), told));
    let (report, usage) = load::run(plan, meter, Some(samples)).await?;
    let ended = Instant::now();
    let visible = tokio::time::timeout(COUPONS_TIMEOUT, looking)
        .await
        .context("some claims have no coupon")???;
    Ok(Followed {
        report,
        usage,
        ended,
        visible,
    })
}

fn milliseconds(micros: &Histogram<u64>, quantile: f64) -> f64 {
    micros.value_at_quantile(quantile) as f64 / 1_000.0
}

/// Looks for the samples' coupons until all are found; microseconds from the answer.
async fn look_for(pool: MySqlPool, mut told: mpsc::Receiver<Sample>) -> anyhow::Result<Histogram<u64>> {
    let mut micros = Histogram::new_with_bounds(1, SLOWEST_US, 3)?;
    let mut missing: HashMap<Uuid, u64> = HashMap::new();
    let mut open = true;
    let mut look = tokio::time::interval(LOOK_EVERY);
    look.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    while open || !missing.is_empty() {
        look.tick().await;
        loop {
            match told.try_recv() {
                Ok(sample) => {
                    missing.insert(sample.claim_id.parse()?, sample.unix_us);
                }
                Err(mpsc::error::TryRecvError::Empty) => break,
                Err(mpsc::error::TryRecvError::Disconnected) => {
                    open = false;
                    break;
                }
            }
        }
        if missing.is_empty() {
            continue;
        }
        let found = visible(&pool, missing.keys()).await.context("look for coupons")?;
        let now = unix_us(SystemTime::now());
        for claim_id in found {
            if let Some(answered) = missing.remove(&claim_id) {
                micros.saturating_record(now.saturating_sub(answered));
            }
        }
    }
    Ok(micros)
}

async fn visible<'i>(
    pool: &MySqlPool,
    claims: impl Iterator<Item = &'i Uuid>,
) -> Result<Vec<Uuid>, sqlx::Error> {
    let mut select = QueryBuilder::<MySql>::new("SELECT coupon_id FROM coupons WHERE coupon_id IN (");
    let mut list = select.separated(", ");
    for claim in claims {
        list.push_bind(claim);
    }
    select.push(")");
    // The lists differ in length all the time: nothing to be kept prepared.
    let rows = select.build().persistent(false).fetch_all(pool).await?;
    rows.iter().map(|row| row.try_get(0)).collect()
}
