//! The bare programs, with the client, connections, request and answer of the claims.

use anyhow::Context;
use tokio::process::Command;
use uuid::Uuid;

use crate::bare::Kind;
use crate::bench::Bench;
use crate::load::{self, ADMITTED, Pace};
use crate::report::{Beside, Row};
use crate::stack::installation::Installation;
use crate::stack::process::{self, Process};

/// Connections of the rows that are compared with each other.
pub const CONNECTIONS: usize = 256;
/// Of the same length as a real one.
const API_KEY: &str = "hgk_0000000000000000000000000000000000000000000000000000000000000000";

/// What the rows are called, so that others can be compared with them.
pub const BARE_AXUM: &str = "bare axum";
/// See [`BARE_AXUM`].
pub const BARE_REDIS: &str = "bare axum + one Redis script";
/// See [`BARE_AXUM`].
pub const PLAIN: &str = "plain program: axum + one Redis script + group commit";

/// Measures all three.
pub async fn run(bench: &Bench) -> anyhow::Result<()> {
    measure(bench, Kind::Axum, None).await?;
    measure(bench, Kind::Redis, None).await?;
    let installation = bench.installation("plain").await?;
    measure(bench, Kind::GroupCommit, Some(&installation)).await?;
    installation.remove().await
}

/// Measures the rows of bare axum alone, once in a run.
pub async fn axum_figure(bench: &Bench) -> anyhow::Result<f64> {
    if bench.figure(BARE_AXUM).is_none() {
        measure(bench, Kind::Axum, None).await?;
    }
    bench.figure(BARE_AXUM).context("it was just measured")
}

async fn measure(bench: &Bench, kind: Kind, installation: Option<&Installation>) -> anyhow::Result<()> {
    let server = start(bench, kind, installation).await?;
    let campaign = Uuid::now_v7().to_string();
    let plan = bench.plan(&server, vec![campaign], API_KEY, CONNECTIONS, Pace::Closed)?;
    let mut meter = bench.servers.meter();
    meter.watch("bare", server.pid);
    let (report, usage) = load::run(&plan, meter, None).await?;
    server.stop().await?;
    let what = match kind {
        Kind::Axum => BARE_AXUM,
        Kind::Redis => BARE_REDIS,
        Kind::GroupCommit => PLAIN,
    };
    let mut row = Row::new(what, report.rate(ADMITTED), "/s").answered(&report, ADMITTED, usage);
    if let Some(installation) = installation {
        row = row.beside(Beside::Nobody);
        let durable = installation.claims().await?;
        anyhow::ensure!(
            durable == report.total(ADMITTED),
            "{durable} claims are durable, {} were promised",
            report.total(ADMITTED)
        );
    }
    if let Some(axum) = bench.figure(BARE_AXUM) {
        row = row.against(BARE_AXUM, axum);
    }
    bench.add(row)
}

async fn start(bench: &Bench, kind: Kind, installation: Option<&Installation>) -> anyhow::Result<Process> {
    let mut command = Command::new(std::env::current_exe()?);
    command
        .arg("bare-server")
        .arg(kind.argument())
        .args(["--redis-url", &bench.servers.redis_url]);
    if let Some(installation) = installation {
        command.args(["--mysql-url", &installation.mysql_url()]);
    }
    let log = bench.servers.data_folder().join("bare.log");
    process::start("bare", command, &log).await
}
