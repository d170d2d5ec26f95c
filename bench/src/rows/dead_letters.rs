//! What operators wait for when there are many dead letters: the first page of the list,
//! the groups, and the plan of a replay; without and with many settled letters beside the
//! open ones. Nothing in the wild does the same, so the references are plain statements
//! that do less.

use std::time::Instant;

use anyhow::Context;
use headgate_dead_letters::Disposition;
use serde_json::{Value, json};
use sqlx::MySqlPool;

use super::admitted::{self, Admission};
use super::claims::QUOTA;
use super::letters::{self, Cause, Followers, GROUP};
use super::operator::{Operator, repeated};
use crate::bench::Bench;
use crate::report::{Beside, Row};
use crate::stack::installation::{Installation, Service};

/// Open letters that a plan chooses.
const LETTERS: u32 = 100_000;
/// Behind one of fifty wait five: 10,000 in all, as many as a partition may hold.
const FOLLOWERS: Followers = Followers {
    every: 50,
    behind_each: 5,
};
const PARKED: u64 = 10_000;
/// Each letter so many times more, settled.
const SETTLED_TIMES: u32 = 5;
/// Plans of a row.
const PLANS: usize = 5;
const PAGE: &str = "/v1/dead-letters?state=open&limit=50";
const GROUPS: &str = "/v1/dead-letters/groups";

/// Each has twice as many letters as the one behind it.
const CAUSES: [Cause; 8] = [
    rejected("claim-not-found", "there is no claim {claim}"),
    rejected(
        "claim-mismatch",
        "the event names another campaign than claim {claim} has",
    ),
    failed(
        "apply-failed",
        "the group could not apply the batch: a value is out of range",
    ),
    rejected(
        "claim-mismatch",
        "the event names another partner than claim {claim} has",
    ),
    failed(
        "not-yet",
        "the group asks for more time: claim {claim} is not there",
    ),
    rejected(
        "claim-mismatch",
        "the event names another user than claim {claim} has",
    ),
    failed(
        "apply-failed",
        "the group could not apply the batch: the campaign of {claim} is corrupt",
    ),
    rejected(
        "claim-mismatch",
        "the event names another ticket than claim {claim} has",
    ),
];

const fn rejected(class: &'static str, error: &'static str) -> Cause {
    Cause {
        disposition: Disposition::Rejected,
        class,
        error,
    }
}

const fn failed(class: &'static str, error: &'static str) -> Cause {
    Cause {
        disposition: Disposition::Exhausted,
        class,
        error,
    }
}

/// Measures all, without settled letters and with them.
pub async fn run(bench: &Bench) -> anyhow::Result<()> {
    let installation = bench.installation("dead-letters").await?;
    plant(bench, &installation).await?;
    let process = installation.start(Service::Operator, &[]).await?;
    let operator = Operator::of(&process)?;
    let table = Table {
        bench,
        operator: &operator,
        pool: &installation.pool,
        pid: process.pid,
    };
    sqlx::query("CREATE TABLE plain_choice (letter_id BINARY(16) NOT NULL PRIMARY KEY)")
        .execute(&installation.pool)
        .await?;
    let alone = table.measure(None).await?;
    let settled = letters::settle_earlier(&installation, SETTLED_TIMES).await?;
    table.measure(Some((settled, alone))).await?;
    process.stop().await?;
    installation.remove().await
}

async fn plant(bench: &Bench, installation: &Installation) -> anyhow::Result<()> {
    let begun = Instant::now();
    let admission = Admission {
        claims: LETTERS,
        quota: QUOTA,
        partition: None,
    };
    let admitted = admitted::admit(bench, installation, admission).await?;
    let events = admitted::events(installation).await?;
    let cause_of = |place: usize| {
        let twos = (place + 1).trailing_zeros() as usize;
        CAUSES[twos.min(CAUSES.len() - 1)]
    };
    letters::plant(installation, &admitted.writer, &events, cause_of, Some(FOLLOWERS)).await?;
    admitted::publish(installation, true).await?;
    eprintln!(
        "-- {LETTERS} letters planted in {:.0} s",
        begun.elapsed().as_secs_f64()
    );
    Ok(())
}

/// Milliseconds of each kind of question.
#[derive(Clone, Copy, Debug)]
struct Figures {
    list: f64,
    groups: f64,
    plan: f64,
}

struct Table<'t> {
    bench: &'t Bench,
    operator: &'t Operator,
    pool: &'t MySqlPool,
    pid: u32,
}

impl Table<'_> {
    /// `settled`: how many there are, and the figures without them.
    async fn measure(&self, settled: Option<(u64, Figures)>) -> anyhow::Result<Figures> {
        let before = settled.map(|(_, figures)| figures);
        let beside = settled.map_or_else(String::new, |(letters, _)| format!(", {letters} settled beside"));
        let open = u64::from(LETTERS) + PARKED;
        let page = self.operator.get(PAGE).await?;
        expect(&page, "/total", open)?;
        let list = self
            .pages(
                format!("dead letters, first page of {open} open{beside}: p99"),
                PAGE,
                before.map(|figures| figures.list),
                PLAIN_PAGE,
                "plain SELECT of that page, without a total",
            )
            .await?;
        let page = self.operator.get(GROUPS).await?;
        expect(&page, "/letters", open)?;
        // The parked ones are one more.
        expect(&page, "/total", CAUSES.len() as u64 + 1)?;
        let groups = self
            .pages(
                format!("dead letters, groups of {open} open{beside}: p99"),
                GROUPS,
                before.map(|figures| figures.groups),
                PLAIN_GROUPS,
                "plain GROUP BY of the causes, counts alone",
            )
            .await?;
        let plan = self.plans(&beside, before.map(|figures| figures.plan)).await?;
        Ok(Figures { list, groups, plan })
    }

    /// The 99th percentile of a page.
    async fn pages(
        &self,
        what: String,
        path: &str,
        before: Option<f64>,
        plain: &'static str,
        plain_name: &str,
    ) -> anyhow::Result<f64> {
        let seconds = self.bench.options.seconds;
        let (name, reference) = if let Some(before) = before {
            ("without settled letters", before)
        } else {
            let select = async || Ok(sqlx::query(plain).fetch_all(self.pool).await?);
            (plain_name, repeated(seconds, select).await?.0.p99)
        };
        self.bench.probe_disk().await?;
        let mut meter = self.bench.servers.meter();
        meter.watch("operator", self.pid);
        meter.begin();
        let (latency, asked) = repeated(seconds, async || self.operator.get(path).await).await?;
        let usage = meter.end();
        let mut row = Row::new(what, latency.p99, "ms")
            .beside(Beside::Nobody)
            .against(name, reference)
            .note(format!(
                "GET {path}, {asked} times, one after the other, with the exact total"
            ));
        row.latency = Some(latency);
        row.usage = usage;
        self.bench.add(row)?;
        Ok(latency.p99)
    }

    /// The slowest of several plans of all letters.
    async fn plans(&self, beside: &str, before: Option<f64>) -> anyhow::Result<f64> {
        let (name, reference) = match before {
            Some(before) => ("without settled letters", before),
            None => (
                "plain INSERT ... SELECT of their ids",
                self.plain_choices().await?,
            ),
        };
        self.bench.probe_disk().await?;
        let mut meter = self.bench.servers.meter();
        meter.watch("operator", self.pid);
        meter.begin();
        let mut took = Vec::with_capacity(PLANS);
        for _ in 0..PLANS {
            let begun = Instant::now();
            let asked = json!({"filter": {"group": GROUP}});
            let replay = self.operator.post("/v1/replays", &asked).await?;
            took.push(begun.elapsed().as_secs_f64() * 1_000.0);
            expect(&replay, "/plan/letters", u64::from(LETTERS))?;
            expect(&replay, "/plan/keys", u64::from(LETTERS))?;
            expect(&replay, "/plan/followers", PARKED)?;
            expect(&replay, "/plan/superseded", 0)?;
            expect(&replay, "/plan/causes_total", CAUSES.len() as u64)?;
            let replay_id = replay["replay_id"].as_str().context("a replay has an id")?;
            self.operator
                .post(&format!("/v1/replays/{replay_id}/cancel"), &json!({}))
                .await?;
        }
        let slowest = took.iter().copied().fold(0.0, f64::max);
        let all: Vec<String> = took.iter().map(|took| format!("{took:.0}")).collect();
        let mut row = Row::new(
            format!("dead letters, plan of a replay of {LETTERS}{beside}: slowest of {PLANS}"),
            slowest,
            "ms",
        )
        .beside(Beside::Nobody)
        .against(name, reference)
        .note(format!(
            "POST /v1/replays: the choice kept, keys, {PARKED} followers, causes, what is superseded; {} ms",
            all.join(", ")
        ));
        row.usage = meter.end();
        self.bench.add(row)?;
        Ok(slowest)
    }

    /// The slowest of as many plain statements.
    async fn plain_choices(&self) -> anyhow::Result<f64> {
        let mut slowest: f64 = 0.0;
        for _ in 0..PLANS {
            sqlx::query("TRUNCATE TABLE plain_choice")
                .execute(self.pool)
                .await?;
            let begun = Instant::now();
            let chosen = sqlx::query(PLAIN_CHOICE)
                .execute(self.pool)
                .await?
                .rows_affected();
            slowest = slowest.max(begun.elapsed().as_secs_f64() * 1_000.0);
            anyhow::ensure!(chosen == u64::from(LETTERS), "{chosen} letters were chosen");
        }
        Ok(slowest)
    }
}

const PLAIN_PAGE: &str = "SELECT letter_id, event_id, event_type, topic, partition_no, kafka_offset, kafka_timestamp,
         record_key, disposition, error_class, error, fingerprint, attempts, first_failed_at, last_failed_at, state
     FROM dead_letters WHERE is_pending = 1 ORDER BY letter_id DESC LIMIT 50";
const PLAIN_GROUPS: &str =
    "SELECT fingerprint, COUNT(*) FROM dead_letters WHERE is_pending = 1 GROUP BY fingerprint";
const PLAIN_CHOICE: &str = "INSERT INTO plain_choice
     SELECT letter_id FROM dead_letters WHERE is_pending = 1 AND disposition <> 'parked' ORDER BY letter_id";

/// Fails unless the answer says so: a figure of another question is none.
fn expect(answer: &Value, pointer: &str, expected: u64) -> anyhow::Result<()> {
    let said = answer.pointer(pointer).and_then(Value::as_u64);
    anyhow::ensure!(said == Some(expected), "{pointer} is {said:?}, not {expected}");
    Ok(())
}
