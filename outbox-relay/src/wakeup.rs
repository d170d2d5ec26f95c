//! Waking up: a message in Redis after each commit, and looking by itself when none
//! comes. The messages are only a hint; without Redis the relay looks more often.

use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt;
use headgate_outbox::claim;
use headgate_runtime::mysql;
use headgate_runtime::redis::{self as connections, Config};
use headgate_runtime::shutdown::{CancellationToken, stopped_within};
use redis::RedisError;
use sqlx::MySqlPool;
use tokio::sync::Notify;

use crate::worker::Bell;

/// Pause between two attempts to subscribe.
const SUBSCRIBE_AGAIN_AFTER: Duration = Duration::from_millis(500);

/// Listens to the channel of this installation until stopped.
pub(crate) struct Subscription {
    client: redis::Client,
    channel: String,
    connect_timeout: Duration,
}

impl Subscription {
    pub(crate) fn new(config: &Config) -> Result<Self, RedisError> {
        Ok(Self {
            client: connections::client(config)?,
            channel: config.outbox_channel(),
            connect_timeout: config.connect_timeout,
        })
    }

    /// Notifies `woken` of each message, and when it begins to listen: what was written
    /// before was not announced to it.
    pub(crate) async fn listen(&self, woken: &Notify, stop: &CancellationToken) {
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                lost = self.listen_once(woken) => {
                    if let Err(error) = lost {
                        tracing::debug!(%error, "the relay cannot be woken through Redis; it looks for rows by itself");
                    }
                }
            }
            metrics::gauge!("headgate_relay_subscribed").set(0.0);
            if stopped_within(stop, SUBSCRIBE_AGAIN_AFTER).await {
                return;
            }
        }
    }

    async fn listen_once(&self, woken: &Notify) -> Result<(), RedisError> {
        let connecting = async {
            let mut subscription = self.client.get_async_pubsub().await?;
            subscription.subscribe(&self.channel).await?;
            Ok::<_, RedisError>(subscription)
        };
        let connected = tokio::time::timeout(self.connect_timeout, connecting).await;
        let mut subscription =
            connected.map_err(|_| std::io::Error::from(std::io::ErrorKind::TimedOut))??;
        metrics::gauge!("headgate_relay_subscribed").set(1.0);
        let mut messages = subscription.on_message();
        woken.notify_one();
        while messages.next().await.is_some() {
            woken.notify_one();
        }
        Ok(())
    }
}

/// Tells workers that there are rows.
pub(crate) struct Lookout {
    pub(crate) pool: MySqlPool,
    pub(crate) bells: Vec<Arc<Bell>>,
    pub(crate) shortest: Duration,
    pub(crate) longest: Duration,
    pub(crate) database_timeout: Duration,
}

impl Lookout {
    /// Looks when woken, and by itself: after `shortest`, then ever more rarely up to
    /// `longest`, as long as nothing is found that was not announced.
    pub(crate) async fn look(&self, woken: &Notify, stop: &CancellationToken) {
        let mut pause = self.shortest;
        loop {
            let announced = tokio::select! {
                () = stop.cancelled() => return,
                () = woken.notified() => true,
                () = tokio::time::sleep(pause) => false,
            };
            let found = self.ring().await;
            pause = match (announced, found) {
                // Rows came and nobody said so: the messages cannot be relied upon.
                (false, true) => self.shortest,
                (false, false) => (pause * 2).min(self.longest),
                (true, _) => pause,
            };
        }
    }

    /// Rings for every worker: the buckets have changed.
    pub(crate) fn ring_all(&self) {
        for bell in &self.bells {
            bell.ring();
        }
    }

    /// Rings for workers that wait and have rows, and for those that are at work: they
    /// may have looked before the rows came. True: somebody waited who has rows.
    async fn ring(&self) -> bool {
        let waiting = self.bells.iter().any(|bell| bell.is_waited_for());
        for bell in self.bells.iter().filter(|bell| !bell.is_waited_for()) {
            bell.ring();
        }
        if !waiting {
            return false;
        }
        let looked = mysql::within(&self.pool, self.database_timeout, async |connection| {
            claim::buckets_with_rows(connection).await
        });
        let Ok(found) = looked.await else { return false };
        let mut somebody_waited = false;
        for oldest in found {
            let worker = usize::from(oldest.bucket.get()) % self.bells.len();
            let bell = &self.bells[worker];
            somebody_waited |= bell.is_waited_for();
            bell.ring();
        }
        somebody_waited
    }
}
