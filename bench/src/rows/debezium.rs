//! Debezium as the reference of the relay with its archive: both keep a history of
//! what was published, it in MySQL's log, ours in a table.

use std::time::Duration;

use anyhow::Context;
use headgate_schemas::topics::COUPONS;

use super::outbox::Outbox;
use super::relay_drain::ROWS;
use crate::bench::Bench;
use crate::meter::Usage;
use crate::report::Row;
use crate::span::{self, Span};
use crate::stack::connect::{self, Connect, Source};
use crate::stack::topic::Topic;

/// What the row of the warm one is called.
pub const WARM: &str = "Debezium on Connect, warm";
const COLD: &str = "Debezium on Connect, cold";
/// What a row without it says.
pub const MISSING: &str = "no Debezium to compare with: `stack.py install --for bench` installs it, and MYSQL_ADMIN_URL \
                           names an account that may read MySQL's log";
const LOOK_EVERY: Duration = Duration::from_millis(20);
const TRY_EVERY: Duration = Duration::from_millis(500);
const TIMEOUT: Duration = Duration::from_mins(5);

/// Measures a worker that has just been started and the same one warm; the figure of
/// the warm one. None: there is no Debezium.
pub async fn measure(bench: &Bench) -> anyhow::Result<Option<f64>> {
    let Some(version) = connect::version(&bench.servers) else {
        eprintln!("{MISSING}");
        return Ok(None);
    };
    let installation = bench.installation("debezium").await?;
    let outbox = Outbox::of(bench, &installation).await?;
    let topic = Topic::of(&bench.servers, &outbox.topic, COUPONS.partitions)?;
    let source = Source {
        database: installation.database(),
        prefix: &installation.kafka_prefix,
    };
    let mut connect = Connect::prepare(&bench.servers, source, installation.logs())?;

    connect.start().await?;
    until_it_streams(&outbox, &topic).await?;
    connect.stop().await?;

    outbox.fill(ROWS).await?;
    bench.probe_disk().await?;
    let mut meter = bench.servers.meter();
    let before = topic.records().await?;
    meter.watch("connect", connect.start().await?);
    meter.begin();
    let cold = drained(&topic, before).await?;
    let how = "started with the backlog before it";
    bench.add(row(COLD, &version, cold, how, meter.end()))?;

    connect.hold().await?;
    outbox.fill(ROWS).await?;
    bench.probe_disk().await?;
    let before = topic.records().await?;
    meter.begin();
    connect.resume().await?;
    let warm = drained(&topic, before).await?;
    let how = "the same process, its connector stopped while the backlog was written";
    bench.add(row(WARM, &version, warm, how, meter.end()))?;
    connect.stop().await?;
    installation.remove().await?;
    Ok(Some(warm))
}

fn row(what: &str, version: &str, rate: f64, how: &str, usage: Option<Usage>) -> Row {
    let row = Row::new(what, rate, "/s").note(format!(
        "{version}, event router, acks=all; {how}; {ROWS} rows, {}",
        span::in_words()
    ));
    usage.into_iter().fold(row, Row::used)
}

/// Waits until it has found its place in the log. It says that it runs before that, and
/// what was written until then it skips: rows are added until one arrives.
async fn until_it_streams(outbox: &Outbox, topic: &Topic) -> anyhow::Result<()> {
    let looking = async {
        while topic.records().await? == 0 {
            outbox.fill(1).await?;
            tokio::time::sleep(TRY_EVERY).await;
        }
        anyhow::Ok(())
    };
    tokio::time::timeout(TIMEOUT, looking)
        .await
        .context("Debezium does not publish anything")?
}

/// Waits until the whole backlog is in Kafka; rows a second.
async fn drained(topic: &Topic, before: u32) -> anyhow::Result<f64> {
    let mut span = Span::of(ROWS);
    let looking = async {
        while !span.see(f64::from(topic.records().await? - before)) {
            tokio::time::sleep(LOOK_EVERY).await;
        }
        anyhow::Ok(())
    };
    tokio::time::timeout(TIMEOUT, looking)
        .await
        .context("Debezium does not publish everything")??;
    span.per_second()
}
