//! A relay that keeps no archive says so in MySQL, before it publishes and as long as it
//! runs: whoever reconciles what was published has nothing to go by.

use std::time::Duration;

use headgate_outbox::ledger::{self, SAY_EVERY};
use headgate_runtime::mysql;
use headgate_runtime::shutdown::{CancellationToken, stopped_within};
use sqlx::MySqlPool;

/// Pause between two attempts to say it the first time.
const SAY_AGAIN_AFTER: Duration = Duration::from_millis(500);

/// Says it.
pub(crate) struct Unarchived {
    pub(crate) pool: MySqlPool,
    pub(crate) database_timeout: Duration,
}

impl Unarchived {
    /// Says it once, as soon as MySQL is there. False: stopped before.
    pub(crate) async fn said(&self, stop: &CancellationToken) -> bool {
        while !self.say().await {
            if stopped_within(stop, SAY_AGAIN_AFTER).await {
                return false;
            }
        }
        true
    }

    /// Says it again and again until stopped.
    pub(crate) async fn keep_saying(&self, stop: &CancellationToken) {
        while !stopped_within(stop, SAY_EVERY).await {
            self.say().await;
        }
    }

    async fn say(&self) -> bool {
        let said = mysql::within(&self.pool, self.database_timeout, async |connection| {
            ledger::say_unarchived(connection).await
        });
        match said.await {
            Ok(()) => true,
            Err(error) => {
                tracing::warn!(%error, "that no archive is kept could not be said");
                false
            }
        }
    }
}
