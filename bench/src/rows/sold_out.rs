//! Sold-out answers: everybody asks a campaign whose tickets are gone.

use super::bare;
use crate::bench::Bench;
use crate::load::{self, Pace, SOLD_OUT};
use crate::report::{Beside, Row};
use crate::stack::installation::Service;

/// Gone within the warm-up.
const QUOTA: u32 = 1_000;

/// Measures it, with bare axum right before.
pub async fn run(bench: &Bench) -> anyhow::Result<()> {
    let axum = bare::axum_figure(bench).await?;
    let installation = bench.installation("sold-out").await?;
    let api = installation.start(Service::Api, &[]).await?;
    let campaign = installation.campaign(&api, QUOTA).await?;
    let plan = bench.plan(
        &api,
        vec![campaign],
        &installation.api_key,
        bare::CONNECTIONS,
        Pace::Closed,
    )?;
    let mut meter = bench.servers.meter();
    meter.watch(&api.name, api.pid);
    let (report, usage) = load::run(&plan, meter, None).await?;
    let durable = installation.claims().await?;
    anyhow::ensure!(
        durable == u64::from(QUOTA),
        "{durable} claims of a quota of {QUOTA}"
    );
    bench.add(
        Row::new("sold-out answers, 256 connections", report.rate(SOLD_OUT), "/s")
            .against(bare::BARE_AXUM, axum)
            .beside(Beside::Nobody)
            .answered(&report, SOLD_OUT, usage),
    )?;
    api.stop().await?;
    installation.remove().await
}
