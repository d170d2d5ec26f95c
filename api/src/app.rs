//! What every handler shares.

use std::sync::Arc;

use headgate_domain::Change;
use headgate_outbox::wake::Waker;
use headgate_outbox::write::EventWriter;
use headgate_runtime::clock::DatabaseClock;
use headgate_runtime::lock::Locks;
use headgate_runtime::shutdown::CancellationToken;
use sqlx::MySqlPool;

use crate::admit::Admitter;
use crate::campaign_cache::CampaignCache;
use crate::claims::settled::Settled;
use crate::config::Config;
use crate::keys::KeyRing;
use crate::members::Members;
use crate::points::{BalanceCache, PolicyCache};
use crate::rate_limits::RateLimits;

/// The parts. Clones share them.
#[derive(Clone)]
pub struct App {
    parts: Arc<Parts>,
}

/// What an [`App`] is made of.
pub struct Parts {
    /// Settings.
    pub config: Config,
    /// MySQL, for everything but claims.
    pub pool: MySqlPool,
    /// Writes events.
    pub writer: EventWriter,
    /// Wakes the relays.
    pub waker: Waker,
    /// MySQL's time.
    pub clock: DatabaseClock,
    /// Keys of partners.
    pub keys: KeyRing,
    /// Members and their tokens.
    pub members: Members,
    /// How much may be sent.
    pub rate_limits: RateLimits,
    /// Campaigns remembered for claims.
    pub campaigns: CampaignCache,
    /// Policies of points.
    pub policies: PolicyCache,
    /// Balances of points.
    pub balances: BalanceCache,
    /// Locks on wallets.
    pub locks: Locks,
    /// The path of a claim.
    pub admitter: Admitter,
    /// Who waits for claims.
    pub settled: Settled,
    /// Cancelled when the process is asked to stop.
    pub stop: CancellationToken,
}

impl App {
    /// Shares `parts`.
    pub fn new(parts: Parts) -> Self {
        Self {
            parts: Arc::new(parts),
        }
    }

    /// Settings.
    pub fn config(&self) -> &Config {
        &self.parts.config
    }

    /// MySQL, for everything but claims.
    pub fn pool(&self) -> &MySqlPool {
        &self.parts.pool
    }

    /// MySQL's time.
    pub fn clock(&self) -> &DatabaseClock {
        &self.parts.clock
    }

    /// Keys of partners.
    pub fn keys(&self) -> &KeyRing {
        &self.parts.keys
    }

    /// Members and their tokens.
    pub fn members(&self) -> &Members {
        &self.parts.members
    }

    /// How much may be sent.
    pub fn rate_limits(&self) -> &RateLimits {
        &self.parts.rate_limits
    }

    /// Campaigns remembered for claims.
    pub fn campaigns(&self) -> &CampaignCache {
        &self.parts.campaigns
    }

    /// Policies of points.
    pub fn policies(&self) -> &PolicyCache {
        &self.parts.policies
    }

    /// Balances of points.
    pub fn balances(&self) -> &BalanceCache {
        &self.parts.balances
    }

    /// Locks on wallets.
    pub fn locks(&self) -> &Locks {
        &self.parts.locks
    }

    /// The path of a claim.
    pub fn admitter(&self) -> &Admitter {
        &self.parts.admitter
    }

    /// Who waits for claims.
    pub fn settled(&self) -> &Settled {
        &self.parts.settled
    }

    /// Wakes the relays: call after a commit that wrote events.
    pub fn waker(&self) -> &Waker {
        &self.parts.waker
    }

    /// Cancelled when the process is asked to stop.
    pub fn stop(&self) -> &CancellationToken {
        &self.parts.stop
    }

    /// What a change needs, at this moment.
    pub fn change<'c>(&'c self, traceparent: Option<&'c str>) -> Change<'c> {
        Change {
            writer: &self.parts.writer,
            now: self.clock().now(),
            traceparent,
        }
    }
}
