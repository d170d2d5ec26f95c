//! Telling whoever waits for a claim that it is settled: through Redis, after the
//! commit, several in one message. A lost message costs the waiter one look of its own.

use headgate_runtime::redis::{self as connections, Config};
use headgate_schemas::ids::ClaimId;
use redis::aio::ConnectionManager;
use tokio::sync::mpsc;

/// Batches that wait to be announced; further ones are not announced.
const BATCHES_MAX: usize = 64;
/// Most claims of one message, 16 bytes each.
const CLAIMS_PER_MESSAGE_MAX: usize = 4_096;

/// Announces settled claims. Clones share one connection.
#[derive(Clone, Debug)]
pub(crate) struct Settled {
    batches: mpsc::Sender<Vec<ClaimId>>,
}

impl Settled {
    /// Starts a task on the current runtime that ends with the last clone.
    pub(crate) fn new(config: &Config) -> Result<Self, redis::RedisError> {
        let connection = connections::connection(config)?;
        let (batches, receiver) = mpsc::channel(BATCHES_MAX);
        tokio::spawn(publish(connection, config.claims_channel(), receiver));
        Ok(Self { batches })
    }

    /// Never blocks and never fails.
    pub(crate) fn announce(&self, claims: Vec<ClaimId>) {
        if !claims.is_empty() && self.batches.try_send(claims).is_err() {
            metrics::counter!("headgate_claims_unannounced_total").increment(1);
        }
    }
}

async fn publish(
    mut connection: ConnectionManager,
    channel: String,
    mut batches: mpsc::Receiver<Vec<ClaimId>>,
) {
    while let Some(mut claims) = batches.recv().await {
        while let Ok(more) = batches.try_recv() {
            claims.extend(more);
        }
        for claims in claims.chunks(CLAIMS_PER_MESSAGE_MAX) {
            let message: Vec<u8> = claims.iter().flat_map(|claim| *claim.as_bytes()).collect();
            let sent: Result<(), _> = redis::cmd("PUBLISH")
                .arg(&channel)
                .arg(message)
                .query_async(&mut connection)
                .await;
            if let Err(error) = sent {
                metrics::counter!("headgate_claims_unannounced_total").increment(1);
                tracing::debug!(%error, "settled claims were not announced");
            }
        }
    }
}
