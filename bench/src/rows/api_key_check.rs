//! What the check of a key costs: the processor time of requests that are refused right after it,
//! less that of requests without a route, which are refused right before.

use anyhow::Context;
use headgate_domain::partners::{Rates, Scope, Scopes};

use crate::bench::Bench;
use crate::load::{self, Pace, Report};
use crate::meter::Usage;
use crate::report::{Beside, Row};
use crate::stack::installation::Service;

const CONNECTIONS: usize = 64;
/// A campaign's place in the path that makes it no path of ours.
const NO_ROUTE: &str = "nothing/here";
/// Any id: the key is refused before it is read.
const ANY_CAMPAIGN: &str = "0198c5a1-7b1e-7c3d-9a55-2f6d1c0b4e77";
const ROUTE_NOT_FOUND: &str = "404 route-not-found";
const SCOPE_MISSING: &str = "403 scope-missing";
const MICROSECONDS: f64 = 1e6;

/// Measures it, limits included.
pub async fn run(bench: &Bench) -> anyhow::Result<()> {
    let installation = bench.installation("api-key-check").await?;
    let api = installation.start(Service::Api, &[]).await?;
    let key = installation
        .key(Scopes::from_iter([Scope::CampaignsRead]), Rates::HIGHEST)
        .await?;
    let mut measured = Vec::new();
    for campaign in [NO_ROUTE, ANY_CAMPAIGN] {
        let campaigns = vec![campaign.to_owned()];
        let plan = bench.plan(&api, campaigns, &key, CONNECTIONS, Pace::Closed)?;
        let mut meter = bench.servers.meter();
        meter.watch(&api.name, api.pid);
        measured.push(load::run(&plan, meter, None).await?);
    }
    let [(without, usage_without), (with, usage)] =
        <[_; 2]>::try_from(measured).ok().context("two measurements")?;
    let before = cost(&without, &usage_without, &api.name, ROUTE_NOT_FOUND)?;
    let after = cost(&with, &usage, &api.name, SCOPE_MISSING)?;
    let lookups = match installation.key_lookups().await? {
        Some(lookups) => format!("{lookups} by its own count"),
        None => "not to be seen without MYSQL_ADMIN_URL".to_owned(),
    };
    bench.add(
        Row::new(
            "check of a key and of its limits, each request",
            after - before,
            "us",
        )
        .beside(Beside::Nobody)
        .note(format!(
            "processor time of the api: {after:.1} us for an answer after it, {before:.1} us before"
        ))
        .note(format!(
            "lookups in MySQL for {} requests: {lookups}",
            with.total(SCOPE_MISSING)
        ))
        .answered(&with, SCOPE_MISSING, usage),
    )?;
    api.stop().await?;
    installation.remove().await
}

/// Microseconds of the api's processor time for each answer.
fn cost(report: &Report, usage: &Usage, api: &str, expected: &str) -> anyhow::Result<f64> {
    let answers = report.outcomes.get(expected).copied().unwrap_or_default();
    anyhow::ensure!(answers > 0, "no answer was {expected}: {:?}", report.outcomes);
    let watched = usage.processes.iter().find(|(name, ..)| name == api);
    let (_, seconds, _) = watched.context("the api was watched")?;
    Ok(seconds * MICROSECONDS / answers as f64)
}
