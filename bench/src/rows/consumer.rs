//! How fast the consumers persist: a backlog in Kafka becomes inbox rows, coupons, their
//! events and the campaign's stock, on one partition and on all four, beside a plain
//! consumer of the same records.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use anyhow::Context;
use chrono::Utc;
use headgate_domain::claims::admit::{self, Gate};
use headgate_domain::claims::{Reservation, sequence};
use headgate_outbox::bucket::murmur2;
use headgate_outbox::write::EventWriter;
use headgate_runtime::process::ProcessNumber;
use headgate_runtime::registry::{self, Registry};
use headgate_schemas::ids::{CampaignId, ClaimId, PartnerId};
use headgate_schemas::names::UserId;
use headgate_schemas::quantities::{AdmissionEpoch, Ticket};
use headgate_schemas::topics::{COUPONS, TopicNames};

use super::plain_loop::PlainLoop;
use crate::bare::consumer::TABLES;
use crate::bench::Bench;
use crate::report::{Beside, Row};
use crate::span::{self, Span};
use crate::stack::installation::{Installation, Service};

/// The backlog.
const CLAIMS: u32 = 200_000;
const CLAIMS_PER_TRANSACTION: usize = 1_000;
const LOOK_EVERY: Duration = Duration::from_millis(20);
const TIMEOUT: Duration = Duration::from_mins(5);
const REGISTRY_TIMEOUT: Duration = Duration::from_secs(10);

/// Measures both.
pub async fn run(bench: &Bench) -> anyhow::Result<()> {
    measure(bench, Some(0)).await?;
    measure(bench, None).await
}

/// `partition`: where all records lie; `None`: wherever their keys belong.
async fn measure(bench: &Bench, partition: Option<u32>) -> anyhow::Result<()> {
    let installation = bench.installation("consumer").await?;
    admit(bench, &installation, partition).await?;
    publish(&installation).await?;
    let name = partition.map_or("four partitions", |_| "one partition");
    let (plain, reference) = plain(bench, &installation, name).await?;
    bench.probe_disk().await?;
    let begun = Instant::now();
    let consumers = installation.start(Service::Consumers, &[]).await?;
    let mut meter = bench.servers.meter();
    meter.watch(&consumers.name, consumers.pid);
    meter.begin();
    let rate = persisted(&installation).await?;
    let mut row = Row::new(format!("consumer, {name}: events persisted"), rate, "/s")
        .beside(Beside::Consumers)
        .against(plain, reference)
        .note(format!(
            "inbox row, coupon, event and stock in one transaction; {CLAIMS} claims of one campaign; {}; {:.2} s from \
             the start of the process to the last coupon",
            span::in_words(),
            begun.elapsed().as_secs_f64()
        ));
    if let Some(usage) = meter.end() {
        row = row.used(usage);
    }
    bench.add(row)?;
    consumers.stop().await?;
    let coupons: i64 = sqlx::query_scalar("SELECT COUNT(*) FROM coupons")
        .fetch_one(&installation.pool)
        .await?;
    anyhow::ensure!(
        coupons == i64::from(CLAIMS),
        "{coupons} coupons for {CLAIMS} claims"
    );
    installation.remove().await
}

/// Claims and their events, as the api writes them.
async fn admit(bench: &Bench, installation: &Installation, partition: Option<u32>) -> anyhow::Result<()> {
    let api = installation.start(Service::Api, &[]).await?;
    let campaign_id: CampaignId = installation.campaign(&api, CLAIMS).await?.parse()?;
    api.stop().await?;
    let (campaign_no, partner_id): (u32, PartnerId) = sqlx::query_as(
        "SELECT campaign_no, partner_id FROM campaigns JOIN partners USING (partner_no) WHERE campaign_id = ?",
    )
    .bind(campaign_id)
    .fetch_one(&installation.pool)
    .await?;
    let writer = writer(bench, installation).await?;
    let epoch = AdmissionEpoch::new(1)?;
    let gate = Gate {
        quota: CLAIMS,
        passable: true,
        epoch: epoch.get(),
        by_redis: true,
    };
    let gates = HashMap::from([(campaign_no, gate)]);
    let tickets: Vec<u32> = (1..=CLAIMS).collect();
    for tickets in tickets.chunks(CLAIMS_PER_TRANSACTION) {
        let reservations = tickets
            .iter()
            .map(|ticket| {
                Ok(Reservation {
                    claim_id: claim_id(partition),
                    campaign_no,
                    campaign_id,
                    partner_id,
                    user_id: UserId::new(format!("u-{ticket}"))?,
                    ticket: Ticket::new(*ticket)?,
                    epoch,
                    sequence: sequence(epoch, *ticket),
                    stock_left: CLAIMS - ticket,
                    traceparent: None,
                })
            })
            .collect::<anyhow::Result<Vec<Reservation>>>()?;
        let reservations: Vec<&Reservation> = reservations.iter().collect();
        let mut transaction = installation.pool.begin().await?;
        admit::insert(&mut transaction, &writer, &reservations, &gates, Utc::now()).await?;
        transaction.commit().await?;
    }
    Ok(())
}

/// An id whose record goes to `partition`.
fn claim_id(partition: Option<u32>) -> ClaimId {
    let partitions = COUPONS.partitions.unsigned_abs();
    loop {
        let claim_id = ClaimId::generate();
        let own = (murmur2(claim_id.to_string().as_bytes()) & 0x7fff_ffff) % partitions;
        if partition.is_none_or(|wanted| wanted == own) {
            return claim_id;
        }
    }
}

async fn writer(bench: &Bench, installation: &Installation) -> anyhow::Result<EventWriter> {
    let registry = Registry::new(&registry::Config {
        url: bench.servers.registry_url.clone(),
        timeout: REGISTRY_TIMEOUT,
    })?;
    let names = TopicNames::with_prefix(installation.kafka_prefix.clone());
    let encoder = registry.encoder(&names).await?;
    let process = ProcessNumber::draw(&installation.pool, "bench").await?;
    Ok(EventWriter::new(encoder, names, process))
}

/// Lets the relay publish the backlog.
async fn publish(installation: &Installation) -> anyhow::Result<()> {
    let settings = [("HEADGATE_RELAY__ARCHIVE", "false")];
    let relay = installation.start(Service::Relay, &settings).await?;
    let waiting = async {
        loop {
            let left: Option<i64> = sqlx::query_scalar("SELECT 1 FROM outbox LIMIT 1")
                .fetch_optional(&installation.pool)
                .await?;
            if left.is_none() {
                return anyhow::Ok(());
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
    };
    tokio::time::timeout(TIMEOUT, waiting)
        .await
        .context("the backlog is not published")??;
    relay.stop().await
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

/// A plain consumer of the same records, before ours; its name and its figure.
async fn plain(bench: &Bench, installation: &Installation, name: &str) -> anyhow::Result<(String, f64)> {
    for table in TABLES {
        sqlx::query(table).execute(&installation.pool).await?;
    }
    let what = format!("plain consumer loop, {name}");
    let plain = PlainLoop {
        what: what.clone(),
        does: "up to 500 records, then inbox rows and coupons of their own in one transaction; no dead letters, no \
               retries, no locks, no stock, no events",
        command: "bare-consumer",
        options: vec![
            ("mysql-url", installation.mysql_url()),
            ("kafka", bench.servers.kafka.clone()),
            ("registry-url", bench.servers.registry_url.clone()),
            ("topic", format!("{}{}", installation.kafka_prefix, COUPONS.name)),
            ("partitions", COUPONS.partitions.to_string()),
            ("claims", CLAIMS.to_string()),
        ],
    };
    let rate = plain.measure(bench).await?;
    let coupons: i64 = sqlx::query_scalar("SELECT COUNT(*) FROM plain_coupons")
        .fetch_one(&installation.pool)
        .await?;
    anyhow::ensure!(
        coupons == i64::from(CLAIMS),
        "{coupons} plain coupons for {CLAIMS} claims"
    );
    Ok((what, rate))
}
