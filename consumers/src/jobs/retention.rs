//! Makes day partitions ahead and drops those that are old enough. The inbox keeps the
//! days of dead letters that are not settled: a replay needs the row that says `dead`.
//! Discards letters that were archived for too long, and removes idempotency keys whose
//! time is up, replays that were planned long ago, and old deliveries.

use headgate_dead_letters::store;
use headgate_domain::idempotency;
use headgate_outbox::{partitions, retention};

use super::{Error, Parts, Round, archived_letters, old_deliveries};

/// Idempotency keys of one transaction.
const KEYS_MAX: u32 = 1_000;
/// Such transactions of one round.
const KEY_BATCHES_MAX: u32 = 100;

/// Letters of a replay that are removed in one transaction.
const REPLAY_LETTERS_MAX: u32 = 5_000;
/// Such transactions of one round.
const REPLAY_BATCHES_MAX: u32 = 100;

pub(super) async fn round(parts: &Parts) -> Result<Round, Error> {
    partitions::ensure(&parts.pool, parts.settings.partition_days_ahead).await?;
    let mut keep = parts.retention.days();
    if let Some(oldest) = store::oldest_unsettled_day(&parts.pool).await? {
        let age_days = (parts.clock.now().date_naive() - oldest).num_days();
        let age_days = u32::try_from(age_days).unwrap_or_default();
        keep.inbox_days = keep.inbox_days.max(age_days);
    }
    for (table, day) in retention::drop_before(&parts.pool, keep).await? {
        metrics::counter!("headgate_partitions_dropped_total", "table" => table.name()).increment(1);
        tracing::debug!(table = table.name(), %day, "a day was let go");
    }
    // A letter that cannot be settled keeps no key from being removed.
    let letters = archived_letters::discard(parts).await;
    let keys = remove_keys(parts).await?;
    let replays = remove_replays(parts).await?;
    let deliveries = old_deliveries::tidy(parts).await?;
    let is_more = [letters?, keys, replays, deliveries].contains(&Round::More);
    Ok(if is_more { Round::More } else { Round::Done })
}

/// Removes old replays, in short transactions.
async fn remove_replays(parts: &Parts) -> Result<Round, Error> {
    for _ in 0..REPLAY_BATCHES_MAX {
        let days = parts.retention.replays_days;
        if !store::replays::remove_older(&parts.pool, days, REPLAY_LETTERS_MAX).await? {
            return Ok(Round::Done);
        }
    }
    Ok(Round::More)
}

/// Removes keys in batches, each a short transaction of its own.
async fn remove_keys(parts: &Parts) -> Result<Round, Error> {
    for _ in 0..KEY_BATCHES_MAX {
        let removed = idempotency::store::remove_expired(&parts.pool, KEYS_MAX).await?;
        metrics::counter!("headgate_idempotency_keys_removed_total").increment(removed);
        if removed < u64::from(KEYS_MAX) {
            return Ok(Round::Done);
        }
    }
    Ok(Round::More)
}
