//! What a partner notices of another that floods: its claims at a modest pace, alone and beside
//! a flood that its key's limit refuses.

use headgate_domain::partners::{Rates, Scopes};

use super::claims;
use crate::bench::Bench;
use crate::load::{self, ADMITTED, Pace, Report};
use crate::meter::Usage;
use crate::report::{Beside, Row};
use crate::stack::installation::{Installation, Service};
use crate::stack::process::Process;

/// Claims a second of the partner that is looked at.
const PER_SECOND: u32 = 500;
const CONNECTIONS: usize = 128;
/// What the flooding key may send; it sends as much as 64 connections can.
const FLOOD_RATE: u32 = 200;
const FLOOD_CONNECTIONS: usize = 64;
const LIMITED: &str = "429 rate-limited";

/// Measures both.
pub async fn run(bench: &Bench) -> anyhow::Result<()> {
    let alone = measure(bench, false).await?;
    let name = format!("{PER_SECOND} claims/s of one partner, alone: p99");
    bench.add(row(name, &alone))?;
    let beside = measure(bench, true).await?;
    let refused = beside.flood.as_ref().map_or(0.0, |flood| flood.rate(LIMITED));
    let name = format!("{PER_SECOND} claims/s of one partner, while another's key floods: p99");
    bench.add(
        row(name, &beside)
            .against("alone", alone.quiet.latency.p99)
            .note(format!("{refused:.0} requests/s of the flood were refused")),
    )
}

fn row(name: String, measured: &Measured) -> Row {
    Row::new(name, measured.quiet.latency.p99, "ms")
        .beside(Beside::Nobody)
        .answered(&measured.quiet, ADMITTED, measured.usage.clone())
}

struct Measured {
    quiet: Report,
    flood: Option<Report>,
    usage: Usage,
}

async fn measure(bench: &Bench, flooded: bool) -> anyhow::Result<Measured> {
    let installation = bench.installation("noisy-neighbour").await?;
    let api = installation.start(Service::Api, &[]).await?;
    let measured = side_by_side(bench, &installation, &api, flooded).await?;
    api.stop().await?;
    installation.remove().await?;
    Ok(measured)
}

async fn side_by_side(
    bench: &Bench,
    installation: &Installation,
    api: &Process,
    flooded: bool,
) -> anyhow::Result<Measured> {
    let campaigns = vec![installation.campaign(api, claims::QUOTA).await?];
    let pace = Pace::Open {
        per_second: PER_SECOND,
    };
    let plan = bench.plan(api, campaigns.clone(), &installation.api_key, CONNECTIONS, pace)?;
    let mut meter = bench.servers.meter();
    meter.watch(&api.name, api.pid);
    if !flooded {
        let (quiet, usage) = load::run(&plan, meter, None).await?;
        return Ok(Measured {
            quiet,
            flood: None,
            usage,
        });
    }
    let rates = Rates {
        key: Some(FLOOD_RATE),
        ..Rates::HIGHEST
    };
    // Another partner's: what passes hears that there is no such campaign.
    let key = installation.key(Scopes::all(), rates).await?;
    let flood = bench.plan(api, campaigns, &key, FLOOD_CONNECTIONS, Pace::Closed)?;
    let (quiet, flood) = tokio::try_join!(
        load::run(&plan, meter, None),
        load::run(&flood, bench.servers.meter(), None),
    )?;
    Ok(Measured {
        quiet: quiet.0,
        flood: Some(flood.0),
        usage: quiet.1,
    })
}
