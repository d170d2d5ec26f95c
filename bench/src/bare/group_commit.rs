//! A plain group commit: whoever waits when a writer is free shares its transaction.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use anyhow::Context;
use chrono::Utc;
use sqlx::{MySql, MySqlPool, QueryBuilder};
use tokio::sync::{Mutex, mpsc, oneshot};
use uuid::Uuid;

use super::Arguments;
use crate::stack::servers;

/// Rows that may wait.
const WAITING_MAX: usize = 16_384;
/// About what an event's Avro takes.
const PAYLOAD_BYTES: usize = 140;
const BUCKETS: u64 = 16;
const CAMPAIGN_NO: u32 = 1;

/// What is made durable for a claim.
#[derive(Clone, Debug)]
pub struct Row {
    pub claim_id: Uuid,
    pub user_id: String,
    pub ticket: u32,
}

type Waiting = (Row, oneshot::Sender<Result<(), String>>);

/// Hands rows to the writers.
#[derive(Clone)]
pub struct GroupCommit {
    waiting: mpsc::Sender<Waiting>,
}

impl GroupCommit {
    /// Starts the writers.
    pub fn start(arguments: &Arguments) -> anyhow::Result<Self> {
        let pool = servers::mysql_pool(&arguments.mysql_url, u32::try_from(arguments.writers)?)?;
        let (waiting, queue) = mpsc::channel(WAITING_MAX);
        let queue = Arc::new(Mutex::new(queue));
        let ids = Arc::new(AtomicU64::new(1));
        for _ in 0..arguments.writers {
            let writer = write(pool.clone(), queue.clone(), ids.clone(), arguments.batch_rows_max);
            tokio::spawn(writer);
        }
        Ok(Self { waiting })
    }

    /// Returns when the row is durable.
    pub async fn commit(&self, row: Row) -> anyhow::Result<()> {
        let (done, durable) = oneshot::channel();
        self.waiting.send((row, done)).await.context("no writer")?;
        durable
            .await
            .context("no answer")?
            .map_err(|error| anyhow::anyhow!(error))
    }
}

async fn write(
    pool: MySqlPool,
    queue: Arc<Mutex<mpsc::Receiver<Waiting>>>,
    ids: Arc<AtomicU64>,
    batch_rows_max: usize,
) {
    let mut batch = Vec::with_capacity(batch_rows_max);
    while queue.lock().await.recv_many(&mut batch, batch_rows_max).await > 0 {
        let rows: Vec<&Row> = batch.iter().map(|(row, _)| row).collect();
        let outcome = transact(&pool, &rows, &ids)
            .await
            .map_err(|error| error.to_string());
        for (_, done) in batch.drain(..) {
            let _gone = done.send(outcome.clone());
        }
    }
}

async fn transact(pool: &MySqlPool, rows: &[&Row], ids: &AtomicU64) -> Result<(), sqlx::Error> {
    let now = Utc::now();
    let mut transaction = pool.begin().await?;
    let mut claims = QueryBuilder::<MySql>::new(
        "INSERT INTO claims (campaign_no, ticket, claim_id, user_id, admission_epoch, sequence, admitted_at,
             last_outbox_id) ",
    );
    claims.push_values(rows, |mut values, row| {
        values
            .push_bind(CAMPAIGN_NO)
            .push_bind(row.ticket)
            .push_bind(row.claim_id)
            .push_bind(row.user_id.as_bytes())
            .push_bind(1_u32)
            .push_bind(u64::from(row.ticket))
            .push_bind(now)
            .push_bind(0_u64);
    });
    claims.build().execute(&mut *transaction).await?;
    let mut outbox = QueryBuilder::<MySql>::new(
        "INSERT INTO outbox (bucket, id, event_id, aggregate_type, aggregate_id, event_type, sequence, topic,
             payload, created_at) ",
    );
    outbox.push_values(rows, |mut values, row| {
        let id = ids.fetch_add(1, Ordering::Relaxed);
        values
            .push_bind(u16::try_from(id % BUCKETS).unwrap_or_default())
            .push_bind(id)
            .push_bind(Uuid::now_v7())
            .push_bind("claim")
            .push_bind(row.claim_id.to_string().into_bytes())
            .push_bind("headgate.coupons.ClaimAdmitted")
            .push_bind(1_u64)
            .push_bind("headgate.coupons")
            .push_bind([b'.'; PAYLOAD_BYTES].as_slice())
            .push_bind(now);
    });
    outbox.build().execute(&mut *transaction).await?;
    transaction.commit().await
}
