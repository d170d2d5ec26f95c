//! How fast the consumers persist: a backlog in Kafka becomes inbox rows, coupons, their
//! events and the campaign's stock, on one partition and on all four, beside a plain
//! consumer of the same records that writes in batches and one that writes row by row; and
//! on one partition while a dead letter holds a key there.

use std::slice;
use std::time::{Duration, Instant};

use anyhow::Context;
use headgate_dead_letters::Disposition;
use headgate_outbox::write::EventWriter;
use headgate_schemas::topics::COUPONS;

use super::admitted::{self, Admission};
use super::letters::{self, Cause, Followers};
use super::plain_loop::PlainLoop;
use crate::bare::consumer::TABLES;
use crate::bench::Bench;
use crate::report::{Beside, Row};
use crate::span::{self, Span};
use crate::stack::installation::{Installation, Service};

/// The backlog.
const CLAIMS: u32 = 200_000;
/// Letters behind the one that holds a key: as many as there may be.
const PARKED: usize = 1_000;
/// Why it is dead.
const HOLDS: Cause = Cause {
    disposition: Disposition::Rejected,
    class: "claim-mismatch",
    error: "the event names another campaign than claim {claim} has",
};
const PLAIN_TABLES: [&str; 2] = ["TRUNCATE TABLE plain_inbox", "TRUNCATE TABLE plain_coupons"];
const LOOK_EVERY: Duration = Duration::from_millis(20);
const TIMEOUT: Duration = Duration::from_mins(5);

/// What the backlog is like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Backlog {
    /// All records lie in one partition.
    OnePartition,
    /// The same, and a key of the partition is held by a dead letter.
    KeyHeld,
    /// The records lie where their keys belong.
    FourPartitions,
}

impl Backlog {
    const fn partition(self) -> Option<u32> {
        match self {
            Self::OnePartition | Self::KeyHeld => Some(0),
            Self::FourPartitions => None,
        }
    }

    const fn name(self) -> &'static str {
        match self {
            Self::OnePartition => "one partition",
            Self::KeyHeld => "one partition, a key parked",
            Self::FourPartitions => "four partitions",
        }
    }

    fn what(self) -> String {
        format!("consumer, {}: events persisted", self.name())
    }
}

/// Measures all.
pub async fn run(bench: &Bench) -> anyhow::Result<()> {
    measure(bench, Backlog::OnePartition).await?;
    measure(bench, Backlog::KeyHeld).await?;
    measure(bench, Backlog::FourPartitions).await
}

async fn measure(bench: &Bench, backlog: Backlog) -> anyhow::Result<()> {
    let installation = bench.installation("consumer").await?;
    let held = u32::from(backlog == Backlog::KeyHeld);
    let admission = Admission {
        claims: CLAIMS + held,
        quota: CLAIMS + held,
        partition: backlog.partition(),
    };
    let admitted = admitted::admit(bench, &installation, admission).await?;
    if backlog == Backlog::KeyHeld {
        hold_a_key(&installation, &admitted.writer).await?;
    }
    admitted::publish(&installation, false).await?;
    let references = references(bench, &installation, backlog).await?;
    bench.probe_disk().await?;
    let begun = Instant::now();
    let consumers = installation.start(Service::Consumers, &[]).await?;
    let mut meter = bench.servers.meter();
    meter.watch(&consumers.name, consumers.pid);
    meter.begin();
    let rate = persisted(&installation).await?;
    let mut row = Row::new(backlog.what(), rate, "/s")
        .beside(Beside::Consumers)
        .note(format!(
            "inbox row, coupon, event and stock in one transaction; {CLAIMS} claims of one campaign; {}; {:.2} s from \
             the start of the process to the last coupon",
            span::in_words(),
            begun.elapsed().as_secs_f64()
        ));
    if backlog == Backlog::KeyHeld {
        row = row.note(format!(
            "{PARKED} letters wait behind the dead letter of another key"
        ));
    }
    row = references.put_beside(row);
    if let Some(usage) = meter.end() {
        row = row.used(usage);
    }
    bench.add(row)?;
    consumers.stop().await?;
    expect_rows(&installation, "SELECT COUNT(*) FROM coupons", CLAIMS).await?;
    let parked = held * u32::try_from(PARKED)?;
    expect_rows(&installation, "SELECT COUNT(is_parked) FROM dead_letters", parked).await?;
    installation.remove().await
}

/// What a figure is compared with.
#[derive(Debug, Default)]
struct References {
    /// Name and figure.
    beside: Option<(String, f64)>,
    /// Of the plain loop that has a transaction for each record.
    row_by_row: Option<f64>,
}

impl References {
    fn put_beside(self, mut row: Row) -> Row {
        if let Some(one) = self.row_by_row.filter(|one| *one > 0.0) {
            let times = row.ours.value / one;
            row = row.note(format!("{times:.1} times the plain loop, row by row"));
        }
        match self.beside {
            Some((name, figure)) => row.against(name, figure),
            None => row,
        }
    }
}

/// The plain loops, before ours. A held key is compared with ours without one.
async fn references(
    bench: &Bench,
    installation: &Installation,
    backlog: Backlog,
) -> anyhow::Result<References> {
    if backlog == Backlog::KeyHeld {
        let without = bench.figure(&Backlog::OnePartition.what());
        return Ok(References {
            beside: without.map(|figure| ("nothing parked".to_owned(), figure)),
            row_by_row: None,
        });
    }
    for table in TABLES {
        sqlx::query(table).execute(&installation.pool).await?;
    }
    let name = backlog.name();
    let row_by_row = match backlog {
        Backlog::OnePartition => Some(plain(bench, installation, ROW_BY_ROW, name).await?.1),
        _ => None,
    };
    Ok(References {
        beside: Some(plain(bench, installation, BATCHES, name).await?),
        row_by_row,
    })
}

/// Takes one claim out of the backlog: its event is a dead letter, and others wait behind it.
async fn hold_a_key(installation: &Installation, writer: &EventWriter) -> anyhow::Result<()> {
    let events = admitted::events(installation).await?;
    let event = events.last().context("there are claims")?;
    let cause_of = |_| HOLDS;
    let followers = Followers {
        every: 1,
        behind_each: PARKED,
    };
    letters::plant(
        installation,
        writer,
        slice::from_ref(event),
        cause_of,
        Some(followers),
    )
    .await?;
    sqlx::query("DELETE FROM outbox WHERE event_id = ? AND aggregate_type = 'claim'")
        .bind(event.event_id)
        .execute(&installation.pool)
        .await?;
    Ok(())
}

/// Waits until everything is persisted; events a second.
async fn persisted(installation: &Installation) -> anyhow::Result<f64> {
    let mut span = Span::of(CLAIMS);
    let looking = async {
        while !span.see(f64::from(u32::try_from(installation.issued().await?)?)) {
            tokio::time::sleep(LOOK_EVERY).await;
        }
        anyhow::Ok(())
    };
    tokio::time::timeout(TIMEOUT, looking)
        .await
        .context("some claims have no coupon")??;
    span.per_second()
}

/// A plain consumer of the same records.
#[derive(Clone, Copy, Debug)]
struct Plain {
    name: &'static str,
    does: &'static str,
    /// From the beginning of the backlog.
    claims: u32,
    batch_records: usize,
}

const BATCHES: Plain = Plain {
    name: "plain consumer loop",
    does: "up to 500 records, then inbox rows and coupons of their own in one transaction; no dead letters, no retries, \
           no locks, no stock, no events",
    claims: CLAIMS,
    batch_records: 500,
};
/// Of the backlog's beginning: all of it would take minutes.
const ROW_BY_ROW: Plain = Plain {
    name: "plain consumer loop, row by row",
    does: "a transaction for each record, BEGIN to COMMIT: an inbox row and a coupon, a statement each; of the first \
           10,000 records",
    claims: 10_000,
    batch_records: 1,
};

/// Lets it consume; its name and its figure.
async fn plain(
    bench: &Bench,
    installation: &Installation,
    loops: Plain,
    name: &str,
) -> anyhow::Result<(String, f64)> {
    for table in PLAIN_TABLES {
        sqlx::query(table).execute(&installation.pool).await?;
    }
    let what = format!("{}, {name}", loops.name);
    let plain = PlainLoop {
        what: what.clone(),
        does: loops.does,
        command: "bare-consumer",
        options: vec![
            ("mysql-url", installation.mysql_url()),
            ("kafka", bench.servers.kafka.clone()),
            ("registry-url", bench.servers.registry_url.clone()),
            ("topic", format!("{}{}", installation.kafka_prefix, COUPONS.name)),
            ("partitions", COUPONS.partitions.to_string()),
            ("claims", loops.claims.to_string()),
            ("batch-records", loops.batch_records.to_string()),
        ],
    };
    let rate = plain.measure(bench).await?;
    expect_rows(installation, "SELECT COUNT(*) FROM plain_coupons", loops.claims).await?;
    Ok((what, rate))
}

async fn expect_rows(installation: &Installation, count: &'static str, expected: u32) -> anyhow::Result<()> {
    let rows: i64 = sqlx::query_scalar(count).fetch_one(&installation.pool).await?;
    anyhow::ensure!(rows == i64::from(expected), "{count}: {rows}, not {expected}");
    Ok(())
}
