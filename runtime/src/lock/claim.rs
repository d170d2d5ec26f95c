//! A lock that was asked for, until it is known to be somebody else's or was given back.

use std::sync::Arc;
use std::time::Duration;

use backon::{ConstantBuilder, Retryable};

use super::acquire::Shared;
use super::commands::{Answer, CommandError};
use super::key::LockKey;

/// How often giving a lock back is tried again while Redis is away. With [`RETRY_PART`] that
/// is as long as a lease: then the lock has ended by itself.
const RETRIES_MAX: usize = 5;
/// The pause between two such tries, as a part of the lease.
const RETRY_PART: u32 = 5;

/// May be held in Redis. Dropped, it is given back in the background: so a request whose
/// client hung up in the middle of an acquire, or that heard no answer, locks nobody out.
pub(super) struct Claim {
    shared: Arc<Shared>,
    key: LockKey,
    value: Arc<str>,
    is_settled: bool,
}

impl Claim {
    pub fn new(shared: &Arc<Shared>, key: LockKey, value: String) -> Self {
        Self {
            shared: shared.clone(),
            key,
            value: value.into(),
            is_settled: false,
        }
    }

    pub const fn key(&self) -> &LockKey {
        &self.key
    }

    pub fn shared(&self) -> &Shared {
        &self.shared
    }

    pub async fn acquire(&self) -> Answer {
        let lease = self.shared.config.lease;
        self.shared.commands.acquire(&self.key, &self.value, lease).await
    }

    /// False: it is not ours any more.
    pub async fn renew(&self, lease: Duration) -> Result<bool, CommandError> {
        let answer = self.shared.commands.renew(&self.key, &self.value, lease).await;
        self.shared.breaker.observe(answer.result.is_ok(), answer.took);
        answer.result
    }

    /// False: it was not ours any more.
    pub async fn release(&mut self) -> Result<bool, CommandError> {
        let released = release(&self.shared, &self.key, &self.value).await;
        self.is_settled = released.is_ok();
        released
    }

    /// Somebody else has it: there is nothing to give back.
    pub fn not_had(mut self) {
        self.is_settled = true;
    }
}

async fn release(shared: &Shared, key: &LockKey, value: &str) -> Result<bool, CommandError> {
    let answer = shared.commands.release(key, value).await;
    shared.breaker.observe(answer.result.is_ok(), answer.took);
    answer.result
}

impl Drop for Claim {
    fn drop(&mut self) {
        if self.is_settled {
            return;
        }
        // Without a runtime the process ends, and the lease with it.
        let Ok(runtime) = tokio::runtime::Handle::try_current() else {
            return;
        };
        let (shared, key, value) = (self.shared.clone(), self.key, self.value.clone());
        runtime.spawn(async move {
            let pauses = ConstantBuilder::new()
                .with_delay(shared.config.lease / RETRY_PART)
                .with_max_times(RETRIES_MAX);
            let released = (|| release(&shared, &key, &value)).retry(pauses).await;
            if let Err(error) = released {
                tracing::debug!(%key, error = %crate::error_text(&error), "a lock ends by its lease");
            }
        });
    }
}
