//! A plain consumer: each partition has a thread that takes what is there, up to a
//! batch, and writes an inbox row and a coupon for each event in one transaction. No
//! dead letters, no retries, no locks, no stock, no events of its own.

use std::time::Duration;

use anyhow::Context;
use chrono::Utc;
use clap::Args;
use headgate_runtime::registry::{self, Registry};
use headgate_schemas::codec::split_wire_format;
use headgate_schemas::event::Event;
use headgate_schemas::event::coupons::{ClaimAdmitted, CouponEvent};
use headgate_schemas::headers::CE_ID;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::message::{BorrowedMessage, Headers as _, Message as _};
use rdkafka::{ClientConfig, Offset, TopicPartitionList};
use sqlx::{MySql, MySqlPool, QueryBuilder};
use uuid::Uuid;

use super::backlog::{self, Progress};
use crate::stack::servers;

/// The tables of a plain program, made beside ours.
pub const TABLES: [&str; 2] = [
    "CREATE TABLE plain_inbox (
         event_id    BINARY(16) NOT NULL PRIMARY KEY,
         recorded_at DATETIME(6) NOT NULL
     )",
    "CREATE TABLE plain_coupons (
         coupon_id   BINARY(16) NOT NULL PRIMARY KEY,
         campaign_id BINARY(16) NOT NULL,
         ticket      INT UNSIGNED NOT NULL,
         user_id     VARBINARY(256) NOT NULL,
         issued_at   DATETIME(6) NOT NULL,
         KEY plain_coupons_by_user (user_id, coupon_id)
     )",
];

/// Longest wait for a first record; then it is looked whether others have done the rest.
const POLL: Duration = Duration::from_millis(100);
const REGISTRY_TIMEOUT: Duration = Duration::from_secs(10);

/// Its servers and its sizes.
#[derive(Clone, Debug, Args)]
pub struct Arguments {
    /// MySQL with the tables of a plain program
    #[arg(long)]
    mysql_url: String,
    /// Kafka
    #[arg(long)]
    kafka: String,
    /// The schema registry
    #[arg(long)]
    registry_url: String,
    /// The topic
    #[arg(long)]
    topic: String,
    /// Its partitions, a thread for each
    #[arg(long)]
    partitions: u16,
    /// Claims of the backlog
    #[arg(long)]
    claims: u32,
    /// Most records of a transaction
    #[arg(long, default_value_t = 500)]
    batch_records: usize,
}

/// Persists the backlog and waits to be told to stop.
pub fn main(arguments: &Arguments) -> anyhow::Result<()> {
    backlog::work_off(arguments.claims, arguments.partitions, |number, progress| {
        backlog::runtime()?.block_on(work(arguments, number, progress))
    })
}

/// One partition, until the backlog is done.
async fn work(arguments: &Arguments, partition: u16, progress: &Progress) -> anyhow::Result<()> {
    let pool = servers::mysql_pool(&arguments.mysql_url, 1)?;
    let registry = Registry::new(&registry::Config {
        url: arguments.registry_url.clone(),
        timeout: REGISTRY_TIMEOUT,
    })?;
    let consumer = consumer(arguments, i32::from(partition))?;
    while !progress.is_over() {
        let records = poll(&consumer, arguments.batch_records)?;
        let Some(last) = records.last() else { continue };
        let mut claims = Vec::with_capacity(records.len());
        for record in &records {
            claims.extend(claim(&registry, record).await?);
        }
        if !claims.is_empty() {
            persist(&pool, &claims).await?;
        }
        consumer.store_offset_from_message(last)?;
        progress.add(claims.len())?;
    }
    pool.close().await;
    Ok(())
}

fn consumer(arguments: &Arguments, partition: i32) -> anyhow::Result<BaseConsumer> {
    let consumer: BaseConsumer = ClientConfig::new()
        .set("bootstrap.servers", &arguments.kafka)
        .set("group.id", format!("{}.plain", arguments.topic))
        .set("enable.auto.offset.store", "false")
        // As often as ours.
        .set("auto.commit.interval.ms", "200")
        .create()
        .context("make a consumer")?;
    let mut assignment = TopicPartitionList::new();
    assignment.add_partition_offset(&arguments.topic, partition, Offset::Beginning)?;
    consumer.assign(&assignment)?;
    Ok(consumer)
}

/// What is there, and nobody waits for more.
fn poll(consumer: &BaseConsumer, batch_records: usize) -> anyhow::Result<Vec<BorrowedMessage<'_>>> {
    let mut records = Vec::with_capacity(batch_records);
    let mut patience = POLL;
    while records.len() < batch_records {
        let Some(record) = consumer.poll(patience) else {
            break;
        };
        records.push(record?);
        patience = Duration::ZERO;
    }
    Ok(records)
}

/// The record's claim, with its event's id; None: another event.
async fn claim(
    registry: &Registry,
    record: &BorrowedMessage<'_>,
) -> anyhow::Result<Option<(Uuid, ClaimAdmitted)>> {
    let (schema, datum) = split_wire_format(record.payload())?;
    let event = registry.writer_schema(schema).await?.decode(datum)?;
    let Event::Coupon(CouponEvent::ClaimAdmitted(claim)) = event else {
        return Ok(None);
    };
    let headers = record.headers().context("a record has headers")?;
    let id = headers
        .iter()
        .find(|header| header.key == CE_ID)
        .and_then(|header| header.value)
        .context("a record has an id")?;
    Ok(Some((Uuid::try_parse_ascii(id)?, claim)))
}

async fn persist(pool: &MySqlPool, claims: &[(Uuid, ClaimAdmitted)]) -> anyhow::Result<()> {
    let now = Utc::now();
    let mut transaction = pool.begin().await?;
    let mut inbox = QueryBuilder::<MySql>::new("INSERT INTO plain_inbox (event_id, recorded_at) ");
    inbox.push_values(claims, |mut values, (event_id, _)| {
        values.push_bind(event_id).push_bind(now);
    });
    inbox.build().execute(&mut *transaction).await?;
    let mut coupons = QueryBuilder::<MySql>::new(
        "INSERT INTO plain_coupons (coupon_id, campaign_id, ticket, user_id, issued_at) ",
    );
    coupons.push_values(claims, |mut values, (_, claim)| {
        values
            .push_bind(claim.claim_id)
            .push_bind(claim.campaign_id)
            .push_bind(claim.ticket)
            .push_bind(claim.user_id.as_bytes())
            .push_bind(now);
    });
    coupons.build().execute(&mut *transaction).await?;
    transaction.commit().await?;
    Ok(())
}
