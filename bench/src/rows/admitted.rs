//! Admitted claims without their coupons: the claims and their events, as the api writes
//! them.

use std::collections::HashMap;
use std::time::Duration;

use anyhow::Context;
use chrono::{DateTime, Utc};
use headgate_domain::claims::admit::{self, Gate};
use headgate_domain::claims::{Reservation, sequence};
use headgate_outbox::bucket::murmur2;
use headgate_outbox::write::EventWriter;
use headgate_runtime::process::ProcessNumber;
use headgate_runtime::registry::{self, Registry};
use headgate_schemas::ids::{CampaignId, ClaimId, EventId, PartnerId};
use headgate_schemas::names::UserId;
use headgate_schemas::quantities::{AdmissionEpoch, Ticket};
use headgate_schemas::topics::{COUPONS, TopicNames};
use sqlx::FromRow;

use crate::bench::Bench;
use crate::stack::installation::{Installation, Service};

const CLAIMS_PER_TRANSACTION: usize = 1_000;
const LOOK_EVERY: Duration = Duration::from_millis(20);
const TIMEOUT: Duration = Duration::from_mins(5);
const REGISTRY_TIMEOUT: Duration = Duration::from_secs(10);

/// What is to be admitted.
#[derive(Clone, Copy, Debug)]
pub struct Admission {
    /// How many claims, each of a user of its own.
    pub claims: u32,
    /// The campaign's quota.
    pub quota: u32,
    /// Where all their records lie; `None`: wherever their keys belong.
    pub partition: Option<u32>,
}

/// A campaign with its claims.
pub struct Admitted {
    /// The campaign.
    pub campaign_id: CampaignId,
    /// Writes events as the product's programs do.
    pub writer: EventWriter,
}

/// The event of an admitted claim, before it is published.
#[derive(Clone, Debug, FromRow)]
pub struct AdmittedEvent {
    /// Its id.
    pub event_id: EventId,
    /// Key of its record: the claim's id as text.
    pub aggregate_id: Vec<u8>,
    /// Its value.
    pub payload: Vec<u8>,
    /// When it was written.
    pub created_at: DateTime<Utc>,
}

/// Registers a campaign and admits claims, in its first epoch.
pub async fn admit(
    bench: &Bench,
    installation: &Installation,
    admission: Admission,
) -> anyhow::Result<Admitted> {
    let api = installation.start(Service::Api, &[]).await?;
    let campaign_id: CampaignId = installation.campaign(&api, admission.quota).await?.parse()?;
    api.stop().await?;
    let (campaign_no, partner_id): (u32, PartnerId) = sqlx::query_as(
        "SELECT campaign_no, partner_id FROM campaigns JOIN partners USING (partner_no) WHERE campaign_id = ?",
    )
    .bind(campaign_id)
    .fetch_one(&installation.pool)
    .await?;
    let writer = writer(bench, installation).await?;
    let epoch = AdmissionEpoch::new(1)?;
    // An api that is started later begins an epoch of its own.
    sqlx::query("UPDATE campaigns SET admission_epoch = ? WHERE campaign_no = ?")
        .bind(epoch.get())
        .bind(campaign_no)
        .execute(&installation.pool)
        .await?;
    let gate = Gate {
        quota: admission.quota,
        passable: true,
        epoch: epoch.get(),
        by_redis: true,
    };
    let gates = HashMap::from([(campaign_no, gate)]);
    let tickets: Vec<u32> = (1..=admission.claims).collect();
    for tickets in tickets.chunks(CLAIMS_PER_TRANSACTION) {
        let reservations = tickets
            .iter()
            .map(|ticket| {
                Ok(Reservation {
                    claim_id: claim_id(admission.partition),
                    campaign_no,
                    campaign_id,
                    partner_id,
                    user_id: UserId::new(format!("a-{ticket}"))?,
                    ticket: Ticket::new(*ticket)?,
                    epoch,
                    sequence: sequence(epoch, *ticket),
                    stock_left: admission.quota - ticket,
                    traceparent: None,
                })
            })
            .collect::<anyhow::Result<Vec<Reservation>>>()?;
        let reservations: Vec<&Reservation> = reservations.iter().collect();
        let mut transaction = installation.pool.begin().await?;
        admit::insert(&mut transaction, &writer, &reservations, &gates, Utc::now()).await?;
        transaction.commit().await?;
    }
    Ok(Admitted { campaign_id, writer })
}

/// An id whose record goes to `partition`.
fn claim_id(partition: Option<u32>) -> ClaimId {
    loop {
        let claim_id = ClaimId::generate();
        let own = partition_of(claim_id.to_string().as_bytes());
        if partition.is_none_or(|wanted| wanted == own) {
            return claim_id;
        }
    }
}

/// The partition of a record with this key.
pub fn partition_of(key: &[u8]) -> u32 {
    (murmur2(key) & 0x7fff_ffff) % COUPONS.partitions.unsigned_abs()
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

/// The events that wait to be published, in their order.
pub async fn events(installation: &Installation) -> anyhow::Result<Vec<AdmittedEvent>> {
    Ok(sqlx::query_as(
        "SELECT event_id, aggregate_id, payload, created_at FROM outbox WHERE aggregate_type = 'claim' ORDER BY id",
    )
    .fetch_all(&installation.pool)
    .await?)
}

/// Lets a relay publish what waits.
pub async fn publish(installation: &Installation, archive: bool) -> anyhow::Result<()> {
    let settings = [("HEADGATE_RELAY__ARCHIVE", if archive { "true" } else { "false" })];
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
