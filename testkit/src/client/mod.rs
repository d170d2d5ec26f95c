//! Clients of the claims endpoint: a rush of thousands of requests that are all in
//! flight at once, and a load of users who keep asking until they know.

mod answer;
mod connection;
mod ledger;
mod load;
mod rush;

use std::sync::Arc;

use parking_lot::RwLock;
use uuid::Uuid;

pub use answer::{Answer, Claim};
pub use connection::{Answered, Connection};
pub use ledger::{Asked, Ledger};
pub use load::{Load, Running};
pub use rush::{connections_max, rush};

/// Whom to ask, and as whom.
#[derive(Clone, Debug)]
pub struct Caller {
    targets: Arc<RwLock<Vec<String>>>,
    api_key: Arc<str>,
}

impl Caller {
    /// Asks the api processes at these addresses (`http://host:port`) in turn.
    pub fn new(targets: Vec<String>, api_key: &str) -> Self {
        Self {
            targets: Arc::new(RwLock::new(targets)),
            api_key: api_key.into(),
        }
    }

    /// From now on asks these processes, e.g. the one that took a dead one's place.
    pub fn redirect(&self, targets: Vec<String>) {
        *self.targets.write() = targets;
    }

    /// The key it calls with.
    pub fn api_key(&self) -> &str {
        &self.api_key
    }

    /// `host:port` of the `n`-th target.
    fn target(&self, n: usize) -> String {
        let targets = self.targets.read();
        let target = &targets[n % targets.len()];
        target.strip_prefix("http://").unwrap_or(target).to_owned()
    }

    /// One claim over a connection of its own.
    pub async fn claim(&self, campaign: Uuid, user: &str) -> Answer {
        match Connection::open(&self.target(0)).await {
            Ok(mut connection) => connection.claim(self.api_key(), campaign, user).await,
            Err(why) => Answer::Lost(why),
        }
    }
}

/// `u-000001`, `u-000002`, ...
pub fn users(count: usize) -> Vec<String> {
    named_users("u", count)
}

/// The same with another beginning.
pub fn named_users(beginning: &str, count: usize) -> Vec<String> {
    (1..=count)
        .map(|number| format!("{beginning}-{number:06}"))
        .collect()
}
