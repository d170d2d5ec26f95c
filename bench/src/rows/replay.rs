//! What a replay of many dead letters costs the normal traffic: claims at a pace far below
//! the maximum, and how long their coupons take, without a replay and while one runs. And
//! how fast the replay was.

use std::time::{Duration, Instant};

use anyhow::Context;
use headgate_dead_letters::Disposition;
use serde_json::{Value, json};

use super::admitted::{self, Admission};
use super::backlog;
use super::claims::QUOTA;
use super::latency::{Followed, follow};
use super::letters::{self, Cause, Followers};
use super::operator::Operator;
use crate::bench::Bench;
use crate::cli::WARM_UP;
use crate::load::{ADMITTED, Pace, Plan};
use crate::report::{Beside, Row};
use crate::stack::installation::{Installation, Service};
use crate::stack::process::Process;

/// Normal traffic.
const CLAIMS_PER_SECOND: u32 = 500;
const CONNECTIONS: usize = 128;
/// The rates of the replays: the shipped one, and one that is asked for.
const RATES: [u32; 2] = [200, 1_000];
/// The letters of each.
const CAUSES: [Cause; RATES.len()] = [
    Cause {
        disposition: Disposition::Rejected,
        class: "claim-not-found",
        error: "there is no claim {claim}",
    },
    Cause {
        disposition: Disposition::Rejected,
        class: "claim-mismatch",
        error: "the event names another campaign than claim {claim} has",
    },
];
/// Something is released, too.
const FOLLOWERS: Followers = Followers {
    every: 10,
    behind_each: 1,
};
/// A replay has letters for so much longer than the claims take.
const MARGIN: Duration = Duration::from_secs(8);
/// Before anything is measured the groups read past the records of the letters.
const FIRST_SECONDS: Duration = Duration::from_secs(1);
const LOOK_EVERY: Duration = Duration::from_millis(50);
const TIMEOUT: Duration = Duration::from_mins(3);

/// Measures the traffic alone, and beside each replay.
pub async fn run(bench: &Bench) -> anyhow::Result<()> {
    let installation = bench.installation("replay").await?;
    let campaign = plant(bench, &installation).await?;
    let mut services = Vec::new();
    for service in [
        Service::Api,
        Service::Relay,
        Service::Consumers,
        Service::Operator,
    ] {
        services.push(installation.start(service, &[]).await?);
    }
    let [api, .., operator] = services.as_slice() else {
        anyhow::bail!("four services run");
    };
    let mut traffic = Traffic {
        bench,
        installation: &installation,
        operator: Operator::of(operator)?,
        api,
        services: &services,
        campaign,
        admitted: 0,
        resolved: 0,
        runs: 0,
    };
    traffic.follow(FIRST_SECONDS).await?;
    let alone = traffic.alone().await?;
    for (rate, cause) in RATES.into_iter().zip(CAUSES) {
        traffic.beside(rate, cause, alone).await?;
    }
    for process in services {
        process.stop().await?;
    }
    installation.remove().await
}

/// How many letters a replay needs, so that it runs as long as the claims.
fn letters_of(bench: &Bench, rate: u32) -> anyhow::Result<usize> {
    let seconds = WARM_UP + Duration::from_secs(bench.options.seconds) + MARGIN;
    Ok(usize::try_from(u64::from(rate) * seconds.as_secs())?)
}

/// Plants the letters of both replays; returns their campaign, which goes on.
async fn plant(bench: &Bench, installation: &Installation) -> anyhow::Result<String> {
    let first = letters_of(bench, RATES[0])?;
    let claims = first + letters_of(bench, RATES[1])?;
    let admission = Admission {
        claims: u32::try_from(claims)?,
        quota: QUOTA,
        partition: None,
    };
    let admitted = admitted::admit(bench, installation, admission).await?;
    let events = admitted::events(installation).await?;
    let cause_of = |place| CAUSES[usize::from(place >= first)];
    letters::plant(installation, &admitted.writer, &events, cause_of, Some(FOLLOWERS)).await?;
    admitted::publish(installation, true).await?;
    Ok(admitted.campaign_id.to_string())
}

/// The services, and what has become of claims and letters so far.
struct Traffic<'t> {
    bench: &'t Bench,
    installation: &'t Installation,
    operator: Operator,
    api: &'t Process,
    services: &'t [Process],
    campaign: String,
    admitted: u64,
    resolved: u64,
    runs: u32,
}

impl Traffic<'_> {
    fn plan(&mut self, measured: Duration) -> anyhow::Result<Plan> {
        let pace = Pace::Open {
            per_second: CLAIMS_PER_SECOND,
        };
        let campaigns = vec![self.campaign.clone()];
        let api_key = &self.installation.api_key;
        let mut plan = self.bench.plan(self.api, campaigns, api_key, CONNECTIONS, pace)?;
        self.runs += 1;
        plan.user_prefix = format!("u{}-", self.runs);
        plan.sample_every = Some(1);
        plan.measured = measured;
        Ok(plan)
    }

    /// Claims at the pace, each followed to its coupon.
    async fn follow(&mut self, measured: Duration) -> anyhow::Result<Followed> {
        let plan = self.plan(measured)?;
        let mut meter = self.bench.servers.meter();
        for process in self.services {
            meter.watch(&process.name, process.pid);
        }
        self.bench.probe_disk().await?;
        let followed = follow(self.installation, &plan, meter).await?;
        self.admitted += followed.report.total(ADMITTED);
        Ok(followed)
    }

    /// Waits until every claim and every replayed letter has its coupon, and no more.
    async fn settle(&self) -> anyhow::Result<()> {
        let expected = self.admitted + self.resolved;
        backlog::until_issued(self.installation, expected, Instant::now()).await?;
        let issued = self.installation.issued().await?;
        anyhow::ensure!(
            issued == expected,
            "{issued} coupons for {} claims and {} letters",
            self.admitted,
            self.resolved
        );
        Ok(())
    }

    fn measured(&self) -> Duration {
        Duration::from_secs(self.bench.options.seconds)
    }

    async fn alone(&mut self) -> anyhow::Result<f64> {
        let followed = self.follow(self.measured()).await?;
        self.settle().await?;
        let p99 = followed.p99();
        self.bench
            .add(row("without a replay", &followed).note("the reference of the rows below"))?;
        Ok(p99)
    }

    /// Replays the letters of a cause meanwhile.
    async fn beside(&mut self, rate: u32, cause: Cause, alone: f64) -> anyhow::Result<()> {
        let replay_id = self.start(rate, cause).await?;
        let path = format!("/v1/replays/{replay_id}");
        let followed = self.follow(self.measured()).await?;
        let replay = self.operator.get(&path).await?;
        anyhow::ensure!(
            replay["state"] == "running",
            "the replay was not running to the end of the claims: {replay}"
        );
        let (resolved, reached) = self.reached(&replay_id).await?;
        self.bench.add(
            row(&format!("beside a replay at {rate} letters/s"), &followed)
                .against("without a replay", alone)
                .note(format!(
                    "the replay reached {reached:.0} letters/s, {resolved} so far; behind every tenth one letter waits and is released"
                )),
        )?;
        self.bench.add(
            Row::new(format!("replay at {rate} letters/s: letters resolved"), reached, "/s")
                .beside(Beside::Both)
                .against("the rate it was given", f64::from(rate))
                .note(format!(
                    "beside {CLAIMS_PER_SECOND} claims/s; from its first answer to its last one so far; nothing comparable is \
                     known in the wild"
                )),
        )?;
        self.operator.post(&format!("{path}/cancel"), &json!({})).await?;
        self.resolved += self.answered(&path).await?;
        self.settle().await
    }

    /// Plans and starts a replay, and waits until it is under way.
    async fn start(&self, rate: u32, cause: Cause) -> anyhow::Result<String> {
        let asked = json!({
            "filter": {"error_class": cause.class},
            "pace": {"rate_per_second": rate, "canary_letters": 0},
        });
        let replay = self.operator.post("/v1/replays", &asked).await?;
        let planned = replay.pointer("/plan/letters").and_then(Value::as_u64);
        let expected = letters_of(self.bench, rate)? as u64;
        anyhow::ensure!(
            planned == Some(expected),
            "{planned:?} letters of {expected} are planned"
        );
        let replay_id = replay["replay_id"].as_str().context("a replay has an id")?;
        let path = format!("/v1/replays/{replay_id}");
        self.operator.post(&format!("{path}/start"), &json!({})).await?;
        self.until(&path, |progress| progress.resolved > 0).await?;
        Ok(replay_id.to_owned())
    }

    /// How many letters of a replay were resolved so far, and how many a second.
    async fn reached(&self, replay_id: &str) -> anyhow::Result<(i64, f64)> {
        let replay_id: uuid::Uuid = replay_id.parse()?;
        let (letters, first, micros): (i64, i64, i64) = sqlx::query_as(
            "SELECT COUNT(*), CAST(COALESCE(SUM(l.settled_at = s.first_at), 0) AS SIGNED),
                 COALESCE(TIMESTAMPDIFF(MICROSECOND, MIN(s.first_at), MAX(l.settled_at)), 0)
             FROM replays r JOIN replay_letters l USING (replay_no)
             JOIN (SELECT replay_no, MIN(settled_at) AS first_at FROM replay_letters GROUP BY replay_no) s
                 USING (replay_no)
             WHERE r.replay_id = ? AND l.outcome = 'resolved'",
        )
        .bind(replay_id)
        .fetch_one(&self.installation.pool)
        .await?;
        anyhow::ensure!(micros > 0, "the replay has settled nothing yet");
        // What was settled at the first moment came before it.
        Ok((letters, (letters - first) as f64 * 1_000_000.0 / micros as f64))
    }

    /// Waits until nothing is on its way; returns how many letters were resolved. All others
    /// must still wait.
    async fn answered(&self, path: &str) -> anyhow::Result<u64> {
        let progress = self.until(path, |progress| progress.sent == 0).await?;
        anyhow::ensure!(
            progress.others == 0,
            "{} letters were not resolved",
            progress.others
        );
        Ok(progress.resolved)
    }

    async fn until(&self, path: &str, reached: impl Fn(Progress) -> bool) -> anyhow::Result<Progress> {
        let waiting = async {
            loop {
                let progress = Progress::of(&self.operator.get(path).await?)?;
                if reached(progress) {
                    return anyhow::Ok(progress);
                }
                tokio::time::sleep(LOOK_EVERY).await;
            }
        };
        tokio::time::timeout(TIMEOUT, waiting)
            .await
            .with_context(|| format!("{path} did not get there in time"))?
    }
}

/// The coupons of claims that were followed.
fn row(beside: &str, followed: &Followed) -> Row {
    let what = format!("admission to coupon at {CLAIMS_PER_SECOND} claims/s {beside}: p99");
    let mut row = Row::new(what, followed.p99(), "ms")
        .beside(Beside::Both)
        .used(followed.usage.clone())
        .note(followed.in_words());
    if let Some(others) = followed.report.others(ADMITTED) {
        row = row.note(format!("other answers: {others}"));
    }
    row
}

/// How far a replay has got.
#[derive(Clone, Copy, Debug)]
struct Progress {
    sent: u64,
    resolved: u64,
    /// Failed, quarantined, unanswered or refused.
    others: u64,
}

impl Progress {
    fn of(replay: &Value) -> anyhow::Result<Self> {
        let progress = &replay["progress"];
        let of = |outcome: &str| progress[outcome].as_u64().context("a replay says how far it is");
        Ok(Self {
            sent: of("sent")?,
            resolved: of("resolved")?,
            others: of("failed")? + of("quarantined")? + of("unanswered")? + of("refused")?,
        })
    }
}
