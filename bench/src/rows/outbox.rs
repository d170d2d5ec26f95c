//! A backlog in the outbox, as the api writes it.

use headgate_outbox::bucket::Bucket;
use serde::Deserialize;
use sqlx::{MySql, MySqlPool, QueryBuilder};
use uuid::Uuid;

use crate::bench::Bench;
use crate::stack::installation::Installation;

const ROWS_PER_INSERT: u32 = 1_000;
/// Bytes of an event behind the wire format's header, as `ClaimAdmitted` has them.
const DATUM_BYTES: usize = 190;
const EVENT: &str = "io.headgate.coupons.ClaimAdmitted";

/// Makes backlogs in one installation.
#[derive(Debug)]
pub struct Outbox {
    /// Where its records go.
    pub topic: String,
    pool: MySqlPool,
    payload: Vec<u8>,
}

impl Outbox {
    /// The outbox of an installation.
    pub async fn of(bench: &Bench, installation: &Installation) -> anyhow::Result<Self> {
        let topic = format!("{}headgate.coupons", installation.kafka_prefix);
        let schema = schema_id(&bench.servers.registry_url, &topic).await?;
        let mut payload = vec![0];
        payload.extend(schema.to_be_bytes());
        payload.resize(payload.len() + DATUM_BYTES, 0);
        Ok(Self {
            topic,
            pool: installation.pool.clone(),
            payload,
        })
    }

    /// Adds rows, each of an aggregate of its own.
    pub async fn fill(&self, rows: u32) -> anyhow::Result<()> {
        // As an id of now: microseconds, then the number of a process.
        let first = u64::try_from(chrono::Utc::now().timestamp_micros())?;
        let numbers: Vec<u32> = (0..rows).collect();
        for piece in numbers.chunks(ROWS_PER_INSERT as usize) {
            let mut insert = QueryBuilder::<MySql>::new(
                "INSERT INTO outbox (bucket, id, event_id, aggregate_type, aggregate_id, event_type, sequence, topic,
                     payload, created_at) ",
            );
            insert.push_values(piece, |mut values, row| {
                let claim = Uuid::now_v7().to_string();
                values
                    .push_bind(Bucket::of(&claim).get())
                    .push_bind((first + u64::from(*row)) << 12)
                    .push_bind(Uuid::now_v7())
                    .push_bind("claim")
                    .push_bind(claim.into_bytes())
                    .push_bind(EVENT)
                    .push_bind(1_u64)
                    .push_bind(&self.topic)
                    .push_bind(self.payload.as_slice())
                    .push_bind(chrono::Utc::now());
            });
            insert.build().execute(&self.pool).await?;
        }
        Ok(())
    }

    /// Fails if rows are left.
    pub async fn expect_empty(&self) -> anyhow::Result<()> {
        let left: i64 = sqlx::query_scalar("SELECT COUNT(*) FROM outbox")
            .fetch_one(&self.pool)
            .await?;
        anyhow::ensure!(left == 0, "{left} rows are left in the outbox");
        Ok(())
    }
}

/// Id of the event's schema.
async fn schema_id(registry: &str, topic: &str) -> anyhow::Result<u32> {
    #[derive(Deserialize)]
    struct Version {
        id: u32,
    }
    let url = format!(
        "{}/subjects/{topic}-{EVENT}/versions/latest",
        registry.trim_end_matches('/')
    );
    let answer = reqwest::get(url).await?.error_for_status()?;
    Ok(answer.json::<Version>().await?.id)
}
