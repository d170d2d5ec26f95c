//! Balances remembered in Redis: read by requests, filled from the balances that the group
//! `point-balances` keeps, and outdated by that group.

use std::time::Duration;

use chrono::{DateTime, Utc};
use headgate_domain::Error;
use headgate_domain::partners::Principal;
use headgate_domain::points::RememberedBalance;
use headgate_domain::points::store::{self, Balance};
use headgate_runtime::cache::{Cache, CacheKey, Cached};
use headgate_schemas::names::UserId;
use sqlx::MySqlPool;

/// The cache.
pub struct BalanceCache {
    pool: MySqlPool,
    cache: Cache,
    remembered: Duration,
}

impl BalanceCache {
    /// Over the balances in MySQL, each remembered for at most `remembered`.
    pub const fn new(pool: MySqlPool, cache: Cache, remembered: Duration) -> Self {
        Self {
            pool,
            cache,
            remembered,
        }
    }

    /// What the user has; its `as_of` says how fresh that is.
    pub async fn of(
        &self,
        caller: &Principal,
        user_id: &UserId,
        now: DateTime<Utc>,
    ) -> Result<Balance, Error> {
        let key = CacheKey::balance(caller.partner_id, user_id);
        if let Some(cached) = self.cache.get::<RememberedBalance>(&key).await {
            return Ok(cached.value.at(now));
        }
        let heard = store::balance_heard(&self.pool, caller.partner_no, user_id, now).await?;
        let Some(heard) = heard else {
            return Ok(Balance::nothing(now));
        };
        let value = RememberedBalance::from(&heard.balance);
        let remembered = self.remembered.min(value.good_for(now));
        let version = heard.entry_no;
        self.cache
            .fill(&key, &Cached { version, value }, remembered)
            .await;
        Ok(heard.balance)
    }
}
