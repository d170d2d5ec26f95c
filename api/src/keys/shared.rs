//! Keys remembered in Redis, for all processes. What Redis says is only believed as far
//! as [`super::ring`] does: it may be gone, old, or wrong.

use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use headgate_domain::partners::{KeyHash, Principal, Rates};
use headgate_schemas::ids::{ApiKeyId, PartnerId};
use redis::aio::ConnectionManager;
use serde::{Deserialize, Serialize};

use super::ring::Known;

/// Longest that Redis may take: MySQL is there too.
const TIMEOUT: Duration = Duration::from_millis(100);

/// The value in Redis.
#[derive(Serialize, Deserialize)]
struct Stored {
    partner_no: u32,
    partner_id: PartnerId,
    key_id: ApiKeyId,
    scopes: String,
    /// Not said by processes of an earlier release.
    #[serde(default)]
    rates: Rates,
    expires_at: Option<DateTime<Utc>>,
    read_at: DateTime<Utc>,
}

/// The memory in Redis.
pub(super) struct SharedKeys {
    redis: ConnectionManager,
    prefix: String,
    remembered: Duration,
}

impl SharedKeys {
    pub fn new(redis: ConnectionManager, prefix: &str, remembered: Duration) -> Self {
        Self {
            redis,
            prefix: format!("{prefix}key:"),
            remembered,
        }
    }

    /// The hash of a key is no secret: it cannot be turned back, nor be presented.
    fn name(&self, hash: &KeyHash) -> Vec<u8> {
        [self.prefix.as_bytes(), hash].concat()
    }

    /// What Redis remembers; `None` if it is silent or says something else.
    pub async fn get(&self, hash: &KeyHash) -> Option<Known> {
        let mut redis = self.redis.clone();
        let mut command = redis::cmd("GET");
        command.arg(self.name(hash));
        let answer = tokio::time::timeout(TIMEOUT, command.query_async::<Option<Vec<u8>>>(&mut redis)).await;
        let stored: Stored = serde_json::from_slice(&answer.ok()?.ok()??).ok()?;
        Some(Known {
            principal: Arc::new(Principal {
                partner_no: stored.partner_no,
                partner_id: stored.partner_id,
                key_id: stored.key_id,
                scopes: stored.scopes.parse().ok()?,
                rates: stored.rates,
                expires_at: stored.expires_at,
            }),
            read_at: stored.read_at,
        })
    }

    /// Remembers a key, if Redis is there.
    pub async fn put(&self, hash: &KeyHash, known: &Known) {
        let principal = &known.principal;
        let stored = Stored {
            partner_no: principal.partner_no,
            partner_id: principal.partner_id,
            key_id: principal.key_id,
            scopes: principal.scopes.to_string(),
            rates: principal.rates,
            expires_at: principal.expires_at,
            read_at: known.read_at,
        };
        let Ok(value) = serde_json::to_vec(&stored) else {
            return;
        };
        let mut redis = self.redis.clone();
        let mut command = redis::cmd("SET");
        command
            .arg(self.name(hash))
            .arg(value)
            .arg("PX")
            .arg(u64::try_from(self.remembered.as_millis()).unwrap_or(u64::MAX));
        let answer = tokio::time::timeout(TIMEOUT, command.query_async::<()>(&mut redis)).await;
        if !matches!(answer, Ok(Ok(()))) {
            tracing::debug!("a key could not be remembered in redis");
        }
    }
}
