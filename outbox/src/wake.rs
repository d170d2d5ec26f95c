//! Waking the relays after a commit, so that they need not poll tightly. A lost
//! wake-up costs milliseconds, never an event: the relays also look by themselves.

use std::time::Duration;

use headgate_runtime::redis::{Config, connection};
use redis::aio::ConnectionManager;
use tokio::sync::mpsc;
use tokio::time::MissedTickBehavior;

use crate::Error;

/// Least time between two messages of one process.
const MESSAGE_EVERY: Duration = Duration::from_millis(1);

/// What the message says. Nobody reads it.
const MESSAGE: &[u8] = b"";

/// Tells the relays that some outbox has new rows. Clones share one connection.
#[derive(Clone, Debug)]
pub struct Waker {
    /// One place: a wake-up that is due already covers every commit before it.
    due: mpsc::Sender<()>,
}

impl Waker {
    /// A waker for this installation. Starts a task on the current tokio runtime that
    /// ends with the last clone.
    pub fn new(config: &Config) -> Result<Self, Error> {
        let connection = connection(config)?;
        let (due, wakeups) = mpsc::channel(1);
        tokio::spawn(publish(connection, config.outbox_channel(), wakeups));
        Ok(Self { due })
    }

    /// Call after a commit that wrote to the outbox. Never blocks and never fails:
    /// calls within a millisecond become one message, and without Redis none is sent.
    pub fn wake(&self) {
        // A full channel means that a message is due anyway, and it will be sent after
        // the commit of whoever calls now.
        let _already_due = self.due.try_send(());
    }
}

async fn publish(mut connection: ConnectionManager, channel: String, mut wakeups: mpsc::Receiver<()>) {
    let mut pace = tokio::time::interval(MESSAGE_EVERY);
    pace.set_missed_tick_behavior(MissedTickBehavior::Delay);
    while wakeups.recv().await.is_some() {
        let sent: Result<(), _> = redis::cmd("PUBLISH")
            .arg(&channel)
            .arg(MESSAGE)
            .query_async(&mut connection)
            .await;
        if let Err(error) = sent {
            metrics::counter!("headgate_outbox_wakeups_lost_total").increment(1);
            tracing::debug!(%error, "the relays were not woken; they will find the rows by polling");
        }
        pace.tick().await;
    }
}
