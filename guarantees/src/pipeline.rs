//! All processes of an installation, and what a sale on it looks like.

use std::time::Duration;

use headgate_testkit::checkers;
use headgate_testkit::client::{Caller, Ledger, Load, users};
use headgate_testkit::process::Service;
use uuid::Uuid;

use crate::{Installation, Partner};

/// Longest time from the last answer until everything that was promised is issued.
pub const SETTLE_TIMEOUT: Duration = Duration::from_mins(1);

/// A relay, the consumers and api processes that run.
#[derive(Debug)]
pub struct Pipeline {
    /// Api processes.
    pub apis: Vec<Service>,
    /// The relay.
    pub relay: Service,
    /// The consumers.
    pub consumers: Service,
}

impl Pipeline {
    /// Starts them.
    pub(crate) async fn start(installation: &Installation, apis: usize) -> Self {
        let (starting_relay, starting_consumers) = (installation.relay(), installation.consumers());
        let (relay, consumers) = tokio::join!(starting_relay.spawn(), starting_consumers.spawn());
        let mut started = Vec::new();
        for _ in 0..apis {
            started.push(installation.api().spawn().await);
        }
        Self {
            apis: started,
            relay,
            consumers,
        }
    }

    /// The partner at the first api.
    pub fn partner(&self, installation: &Installation) -> Partner {
        installation.partner(&self.apis[0])
    }

    /// Asks all api processes in turn.
    pub fn caller(&self, installation: &Installation) -> Caller {
        Caller::new(
            self.apis.iter().map(Service::http).collect(),
            installation.api_key(),
        )
    }

    /// A load of users who keep asking for this campaign's coupons.
    pub fn load(
        &self,
        installation: &Installation,
        campaign: Uuid,
        users_count: usize,
        connections: usize,
    ) -> Load {
        Load {
            caller: self.caller(installation),
            campaign,
            users: users(users_count),
            connections,
            users_per_second: None,
        }
    }

    /// Stops everything as an operator does, and requires that all end well.
    pub async fn stop(mut self) {
        for api in &mut self.apis {
            api.stop().await;
        }
        self.relay.stop().await;
        self.consumers.stop().await;
    }
}

/// Requires that everything holds, once all is at rest.
pub async fn assert_all_hold(installation: &Installation, campaign: Uuid, ledger: &Ledger) {
    checkers::assert_all_hold(installation.environment(), campaign, ledger, SETTLE_TIMEOUT).await;
}
