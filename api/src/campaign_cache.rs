//! Campaigns as claims see them: read from MySQL about once a second each. A pause or
//! an end that is not seen here yet is seen by the transaction of the claim, which
//! locks the campaign's row for share.

use std::sync::Arc;

use headgate_domain::Error;
use headgate_domain::campaigns::{Campaign, store};
use headgate_schemas::ids::CampaignId;
use sqlx::MySqlPool;

use crate::config;

/// The cache. Bounded; ids that nobody has are remembered too.
pub struct CampaignCache {
    pool: MySqlPool,
    campaigns: moka::future::Cache<CampaignId, Option<Arc<Campaign>>, ahash::RandomState>,
}

impl CampaignCache {
    /// An empty cache.
    pub fn new(pool: MySqlPool, settings: &config::Campaigns) -> Self {
        let campaigns = moka::future::Cache::builder()
            .max_capacity(settings.remembered_max)
            .time_to_live(settings.remembered)
            .build_with_hasher(ahash::RandomState::new());
        Self { pool, campaigns }
    }

    /// The campaign; whose it is and where it stands is for the caller to judge. Many
    /// requests at once make one read.
    pub async fn find(&self, campaign_id: CampaignId) -> Result<Option<Arc<Campaign>>, Arc<Error>> {
        if let Some(known) = self.campaigns.get(&campaign_id).await {
            return Ok(known);
        }
        let read = async {
            let found = store::find(&self.pool, campaign_id).await?;
            Ok(found.map(Arc::new))
        };
        self.campaigns.try_get_with(campaign_id, read).await
    }

    /// Forgets a campaign that was changed.
    pub async fn forget(&self, campaign_id: CampaignId) {
        self.campaigns.invalidate(&campaign_id).await;
    }
}
