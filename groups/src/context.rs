//! What groups are given beside the transaction and the events.

use std::time::Duration;

use chrono::{DateTime, Utc};
use headgate_domain::Change;
use headgate_domain::campaigns::{Campaign, store};
use headgate_outbox::write::EventWriter;
use moka::sync::Cache;
use sqlx::{MySql, Transaction};

use crate::Error;

/// What groups are given beside the transaction and the events.
#[derive(Clone)]
pub struct Context {
    /// Makes outbox rows.
    pub writer: EventWriter,
    /// Now, by MySQL's clock.
    pub now: DateTime<Utc>,
    pub(crate) campaigns: Campaigns,
}

impl Context {
    /// A context of this moment.
    pub fn new(writer: EventWriter, now: DateTime<Utc>) -> Self {
        Self {
            writer,
            now,
            campaigns: Campaigns::default(),
        }
    }

    /// The same at another moment; what was looked up stays.
    #[must_use]
    pub fn at(&self, now: DateTime<Utc>) -> Self {
        Self { now, ..self.clone() }
    }

    pub(crate) const fn change<'c>(&'c self, traceparent: Option<&'c str>) -> Change<'c> {
        Change {
            writer: &self.writer,
            now: self.now,
            traceparent,
        }
    }
}

/// Most campaigns that are remembered.
const CAMPAIGNS_MAX: u64 = 10_000;
/// How long one is remembered. Only columns that never change are used, and the name,
/// which may be as old as this in an event.
const CAMPAIGN_TTL: Duration = Duration::from_secs(5);

/// Campaigns, read once in a while instead of once a batch.
#[derive(Clone)]
pub(crate) struct Campaigns(Cache<u32, Campaign>);

impl Default for Campaigns {
    fn default() -> Self {
        Self(
            Cache::builder()
                .max_capacity(CAMPAIGNS_MAX)
                .time_to_live(CAMPAIGN_TTL)
                .build(),
        )
    }
}

impl Campaigns {
    pub(crate) async fn get(
        &self,
        transaction: &mut Transaction<'_, MySql>,
        campaign_no: u32,
    ) -> Result<Option<Campaign>, Error> {
        if let Some(campaign) = self.0.get(&campaign_no) {
            return Ok(Some(campaign));
        }
        let found = store::find_by_no(&mut **transaction, campaign_no).await?;
        if let Some(campaign) = &found {
            self.0.insert(campaign_no, campaign.clone());
        }
        Ok(found)
    }
}
