//! Policies of points, read from MySQL once in a while. A change is in force everywhere within
//! [`REMEMBERED`].

use std::sync::Arc;
use std::time::Duration;

use headgate_domain::points::{Policy, store};
use sqlx::MySqlPool;

/// How long a policy is remembered.
const REMEMBERED: Duration = Duration::from_secs(5);
/// Most partners whose policies are remembered.
const PARTNERS_MAX: u64 = 10_000;

/// The cache.
pub struct PolicyCache {
    pool: MySqlPool,
    policies: moka::future::Cache<u32, Policy, ahash::RandomState>,
}

impl PolicyCache {
    /// An empty cache.
    pub fn new(pool: MySqlPool) -> Self {
        let policies = moka::future::Cache::builder()
            .max_capacity(PARTNERS_MAX)
            .time_to_live(REMEMBERED)
            .build_with_hasher(ahash::RandomState::new());
        Self { pool, policies }
    }

    /// The partner's policy. Many requests at once make one read.
    pub async fn of(&self, partner_no: u32) -> Result<Policy, Arc<sqlx::Error>> {
        let read = store::policy(&self.pool, partner_no);
        self.policies.try_get_with(partner_no, read).await
    }
}
