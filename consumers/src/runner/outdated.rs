//! Telling Redis which balances it remembers are out of date: after the commit, several at once. A
//! lost message leaves a balance out of date for as long as Redis remembers it.

use headgate_domain::points::store::Heard;
use headgate_runtime::cache::{Cache, CacheKey};
use tokio::sync::mpsc;

/// Batches that wait to be told; further ones are not.
const BATCHES_MAX: usize = 64;

/// Outdates balances. Clones share one task.
#[derive(Clone, Debug)]
pub(crate) struct OutdatedBalances {
    batches: mpsc::Sender<Vec<Heard>>,
}

impl OutdatedBalances {
    /// Starts a task on the current runtime that ends with the last clone.
    pub(crate) fn new(cache: Cache) -> Self {
        let (batches, receiver) = mpsc::channel(BATCHES_MAX);
        tokio::spawn(tell(cache, receiver));
        Self { batches }
    }

    /// Never blocks and never fails.
    pub(crate) fn outdate(&self, heard: Vec<Heard>) {
        let count = heard.len();
        if count > 0 && self.batches.try_send(heard).is_err() {
            not_outdated(count);
        }
    }
}

async fn tell(cache: Cache, mut batches: mpsc::Receiver<Vec<Heard>>) {
    while let Some(mut heard) = batches.recv().await {
        while let Ok(more) = batches.try_recv() {
            heard.extend(more);
        }
        let written: Vec<(CacheKey, u64)> = heard
            .iter()
            .map(|heard| {
                (
                    CacheKey::balance(heard.partner_id, &heard.user_id),
                    heard.entry_no,
                )
            })
            .collect();
        if !cache.outdate(&written).await {
            not_outdated(written.len());
        }
    }
}

fn not_outdated(count: usize) {
    metrics::counter!("headgate_cache_not_outdated_total").increment(count as u64);
}
