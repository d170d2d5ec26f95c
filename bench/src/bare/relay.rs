//! A plain relay: each worker reads a bucket's next rows, sends them, waits for the
//! acknowledgements, and deletes the range. No leases, no wake-ups, no poison rows, no
//! other headers than an id and a type, no archive.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use anyhow::Context;
use clap::Args;
use headgate_outbox::bucket::BUCKETS;
use rdkafka::ClientConfig;
use rdkafka::client::ClientContext;
use rdkafka::message::{DeliveryResult, Header, OwnedHeaders};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer, ProducerContext};
use sqlx::{FromRow, MySqlPool};
use uuid::Uuid;

use super::backlog::{self, Progress};
use crate::stack::servers;

const FLUSH_TIMEOUT: Duration = Duration::from_secs(30);

/// Its servers and its sizes.
#[derive(Clone, Debug, Args)]
pub struct Arguments {
    /// MySQL with our tables
    #[arg(long)]
    mysql_url: String,
    /// Kafka
    #[arg(long)]
    kafka: String,
    /// Rows of the backlog
    #[arg(long)]
    rows: u32,
    /// Workers, as many as our relay has
    #[arg(long, default_value_t = 4)]
    workers: u16,
    /// Rows of a round: as many as a worker of ours sends at once from its buckets
    #[arg(long, default_value_t = 4_000)]
    batch_rows: u32,
}

#[derive(FromRow)]
struct Row {
    id: u64,
    event_id: Uuid,
    event_type: String,
    aggregate_id: Vec<u8>,
    topic: String,
    payload: Vec<u8>,
}

/// Publishes the backlog and waits to be told to stop.
pub fn main(arguments: &Arguments) -> anyhow::Result<()> {
    backlog::work_off(arguments.rows, arguments.workers, |number, progress| {
        backlog::runtime()?.block_on(work(arguments, number, progress))
    })
}

/// One worker: its buckets in turn, until all of them are empty.
async fn work(arguments: &Arguments, number: u16, progress: &Progress) -> anyhow::Result<()> {
    let pool = servers::mysql_pool(&arguments.mysql_url, 1)?;
    let producer = producer(&arguments.kafka)?;
    let own = usize::from(arguments.workers);
    let mut buckets: Vec<u16> = (0..BUCKETS).skip(usize::from(number)).step_by(own).collect();
    while !buckets.is_empty() {
        let mut filled = Vec::with_capacity(buckets.len());
        for bucket in buckets {
            let rows = read(&pool, bucket, arguments.batch_rows).await?;
            let Some(last) = rows.last().map(|row| row.id) else {
                continue;
            };
            publish(&producer, &rows)?;
            delete(&pool, bucket, last).await?;
            progress.add(rows.len())?;
            filled.push(bucket);
        }
        buckets = filled;
    }
    pool.close().await;
    Ok(())
}

async fn read(pool: &MySqlPool, bucket: u16, batch_rows: u32) -> Result<Vec<Row>, sqlx::Error> {
    sqlx::query_as(
        "SELECT id, event_id, event_type, aggregate_id, topic, payload FROM outbox
         WHERE bucket = ? ORDER BY id LIMIT ?",
    )
    .bind(bucket)
    .bind(batch_rows)
    .fetch_all(pool)
    .await
}

async fn delete(pool: &MySqlPool, bucket: u16, last: u64) -> Result<(), sqlx::Error> {
    sqlx::query("DELETE FROM outbox WHERE bucket = ? AND id <= ?")
        .bind(bucket)
        .bind(last)
        .execute(pool)
        .await?;
    Ok(())
}

/// Counts what Kafka did not take.
#[derive(Default)]
struct Refused(AtomicUsize);

impl ClientContext for Refused {}

impl ProducerContext for Refused {
    type DeliveryOpaque = ();

    fn delivery(&self, report: &DeliveryResult<'_>, (): ()) {
        if report.is_err() {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }
}

/// As durable as ours, with the same partitioner and compression.
fn producer(kafka: &str) -> anyhow::Result<BaseProducer<Refused>> {
    ClientConfig::new()
        .set("bootstrap.servers", kafka)
        .set("acks", "all")
        .set("enable.idempotence", "true")
        .set("partitioner", "murmur2_random")
        .set("compression.codec", "lz4")
        .set("linger.ms", "0")
        .create_with_context(Refused::default())
        .context("make a producer")
}

fn publish(producer: &BaseProducer<Refused>, rows: &[Row]) -> anyhow::Result<()> {
    for row in rows {
        let id = row.event_id.to_string();
        let headers = OwnedHeaders::new_with_capacity(2)
            .insert(Header {
                key: "ce_id",
                value: Some(&id),
            })
            .insert(Header {
                key: "ce_type",
                value: Some(&row.event_type),
            });
        let record = BaseRecord::to(&row.topic)
            .key(&row.aggregate_id)
            .payload(&row.payload)
            .headers(headers);
        producer.send(record).map_err(|(error, _)| error)?;
    }
    producer
        .flush(FLUSH_TIMEOUT)
        .context("wait for acknowledgements")?;
    let refused = producer.context().0.load(Ordering::Relaxed);
    anyhow::ensure!(refused == 0, "Kafka did not take {refused} records");
    Ok(())
}
