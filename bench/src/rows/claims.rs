//! Claims accepted and durable: distinct users, a quota that admits them all, relay and
//! consumers off and on.

use std::time::Instant;

use super::bare;
use crate::bench::Bench;
use crate::load::{self, ADMITTED, Pace};
use crate::report::{Beside, Row};
use crate::rows::backlog;
use crate::stack::installation::Service;

/// Nobody is refused.
pub const QUOTA: u32 = 10_000_000;

/// Measures each number of connections, without and with what runs beside the api.
pub async fn run(bench: &Bench) -> anyhow::Result<()> {
    for beside in bench.options.beside.iter().copied() {
        for connections in bench.options.connections.iter().copied() {
            eprintln!("-- claims, {connections} connections, {beside:?} beside");
            measure(bench, connections, beside).await?;
        }
    }
    Ok(())
}

async fn measure(bench: &Bench, connections: usize, beside: Beside) -> anyhow::Result<()> {
    let installation = bench.installation("claims").await?;
    let api = installation.start(Service::Api, &[]).await?;
    let mut others = Vec::new();
    if beside == Beside::Both {
        for service in [Service::Relay, Service::Consumers] {
            others.push(installation.start(service, &[]).await?);
        }
    }
    let campaign = installation.campaign(&api, QUOTA).await?;
    let plan = bench.plan(
        &api,
        vec![campaign],
        &installation.api_key,
        connections,
        Pace::Closed,
    )?;
    let mut meter = bench.servers.meter();
    for process in std::iter::once(&api).chain(&others) {
        meter.watch(&process.name, process.pid);
    }
    bench.probe_disk().await?;
    let (report, usage) = load::run(&plan, meter, None).await?;
    let ended = Instant::now();

    let admitted = report.total(ADMITTED);
    let what = format!("claims accepted and durable, {connections} connections");
    let mut row = Row::new(what, report.rate(ADMITTED), "/s")
        .beside(beside)
        .answered(&report, ADMITTED, usage);
    if let Some(plain) = bench.figure(bare::PLAIN) {
        row = row.against("plain program", plain);
    }
    let durable = installation.claims().await?;
    anyhow::ensure!(
        durable == admitted,
        "{durable} claims are durable, {admitted} were promised"
    );
    row = row.note(format!("{admitted} promised, {durable} durable"));
    if beside == Beside::Both {
        row = row.note(
            backlog::until_issued(&installation, admitted, ended)
                .await?
                .to_string(),
        );
    }
    bench.add(row)?;
    api.stop().await?;
    for process in others {
        process.stop().await?;
    }
    installation.remove().await
}
