//! Parking: what comes later under a key that a letter holds waits behind it, in order,
//! until the letter is resolved or discarded; then it goes, in order.
//!
//! The queue of a key is all its letters that are not settled, in the order in which they
//! were buried. Its first letter is the head; the others have the disposition `parked`.
//! Every function here wants the partition locked by its transaction, except where it
//! says otherwise: then nobody parks or releases beside it (T6).

use std::collections::{HashMap, HashSet};

use chrono::{DateTime, Utc};
use headgate_outbox::inbox::{self, GroupNo, InboxState};
use headgate_schemas::headers::RawHeaders;
use headgate_schemas::ids::{DeadLetterId, EventId};
use sha2::{Digest, Sha256};
use sqlx::{MySql, MySqlPool, Transaction};

use crate::Error;
use crate::attempt::Failure;
use crate::fingerprint::fingerprint;
use crate::letter::{LetterState, Queued};
use crate::resolve::{self, Resolved, Resolver};
use crate::store::queue::{self, Place};
use crate::store::{self, LockedLetter, Returned};

/// Class of a letter that waits behind another of its key.
pub const CLASS: &str = "behind-dead-letter";
/// What is said of it.
pub const ERROR: &str = "an earlier event of its key is a dead letter";
/// What happened to a parked letter that was applied, in its history.
const RELEASED: &str = "released";

/// A partition of a public topic, for one group.
#[derive(Clone, Copy, Debug)]
pub struct Home<'h> {
    /// The group.
    pub group: GroupNo,
    /// The topic, as Kafka names it.
    pub topic: &'h str,
    /// The partition.
    pub partition: i32,
}

/// Bytes of a [`HeldKey`].
const HELD_KEY_BYTES: usize = 16;

/// What a letter holds: a hash of its record's key, the column `held_key`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct HeldKey([u8; HELD_KEY_BYTES]);

impl HeldKey {
    /// The hash of a record's key.
    pub fn of(key: &[u8]) -> Self {
        let mut held = [0; HELD_KEY_BYTES];
        held.copy_from_slice(&Sha256::digest(key)[..HELD_KEY_BYTES]);
        Self(held)
    }

    pub(crate) fn from_bytes(bytes: &[u8]) -> Option<Self> {
        bytes.try_into().ok().map(Self)
    }

    pub(crate) const fn as_slice(&self) -> &[u8] {
        self.0.as_slice()
    }
}

/// How much may be parked.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    /// Behind one letter.
    pub per_key_max: u64,
    /// In one partition.
    pub per_partition_max: u64,
}

/// A letter as it was read: an edit makes another of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AsRead {
    /// The letter.
    pub letter_id: DeadLetterId,
    /// Its newest edit; 0: none.
    pub edit_no: u32,
}

/// A letter that waits behind another, with what goes to the group.
#[derive(Clone, Debug)]
pub struct Parked {
    /// The letter.
    pub read: AsRead,
    /// Its event.
    pub event_id: EventId,
    /// Offset of the record.
    pub offset: i64,
    /// Timestamp of the record.
    pub record_time: DateTime<Utc>,
    /// The key, byte for byte.
    pub key: Option<Vec<u8>>,
    /// The value: the newest edit's, or byte for byte as it came.
    pub value: Option<Vec<u8>>,
    /// The headers, as the value.
    pub headers: RawHeaders,
    /// Class that it was parked with.
    pub error_class: String,
}

/// How a letter failed when its turn came.
#[derive(Clone, Copy, Debug)]
pub struct Failed<'f> {
    /// How often it was tried.
    pub attempts: u32,
    /// First failure.
    pub first_failed_at: DateTime<Utc>,
    /// What went wrong.
    pub failure: Failure<'f>,
}

/// Those of `keys` that letters hold, and how many are parked under each.
pub async fn held(
    transaction: &mut Transaction<'_, MySql>,
    home: Home<'_>,
    keys: impl Iterator<Item = HeldKey>,
) -> Result<HashMap<HeldKey, u64>, Error> {
    // As a rule nothing is held: one look at the index says so.
    if !queue::holds_any(transaction, home).await? {
        return Ok(HashMap::new());
    }
    Ok(queue::lengths(transaction, home, &queue::distinct(keys)).await?)
}

/// Those of `keys` that letters hold. Needs no lock once a letter of the key is settled: what was
/// parked behind it was so before that was committed.
pub async fn still_held(
    pool: &MySqlPool,
    home: Home<'_>,
    keys: impl Iterator<Item = HeldKey>,
) -> Result<HashSet<HeldKey>, Error> {
    let mut connection = pool.acquire().await?;
    let lengths = queue::lengths(&mut connection, home, &queue::distinct(keys)).await?;
    Ok(lengths.into_keys().collect())
}

/// How many more letters may be parked in the partition.
pub async fn room(
    transaction: &mut Transaction<'_, MySql>,
    home: Home<'_>,
    bounds: Bounds,
) -> Result<u64, Error> {
    let parked = queue::parked(transaction, home).await?;
    Ok(bounds.per_partition_max.saturating_sub(parked))
}

/// What those of `events` that have a letter of the group are in the inbox.
pub async fn known(
    transaction: &mut Transaction<'_, MySql>,
    group: GroupNo,
    events: &[EventId],
) -> Result<HashMap<EventId, InboxState>, Error> {
    Ok(store::inbox_states(transaction, group, events).await?)
}

/// What may go of a key's queue: its first letters, up to `letters_max` and about
/// `bytes_max`, unless a letter that waits for its operator stands before them. Needs no
/// lock; see [`take`].
pub async fn releasable(
    pool: &MySqlPool,
    home: Home<'_>,
    key: HeldKey,
    letters_max: usize,
    bytes_max: usize,
) -> Result<Vec<Parked>, Error> {
    let mut connection = pool.acquire().await?;
    let letters = queue::releasable(&mut connection, home, key, letters_max, bytes_max).await?;
    if letters == 0 {
        return Ok(Vec::new());
    }
    queue::first(&mut connection, home, key, letters).await
}

/// The letters behind a letter of a key, up to `letters_max`, in the order in which they would
/// follow it. Needs no lock.
pub async fn behind(
    pool: &MySqlPool,
    home: Home<'_>,
    key: HeldKey,
    letter_id: DeadLetterId,
    letters_max: usize,
) -> Result<Vec<Parked>, Error> {
    let mut connection = pool.acquire().await?;
    let mut letters = queue::first(&mut connection, home, key, letters_max + 1).await?;
    letters.retain(|letter| letter.read.letter_id != letter_id);
    letters.truncate(letters_max);
    Ok(letters)
}

/// How many of `letters`, from the first, are still what the queue of `key` begins with, and
/// were not edited since they were read. They are locked until the transaction ends.
pub async fn take(
    transaction: &mut Transaction<'_, MySql>,
    home: Home<'_>,
    key: HeldKey,
    letters: &[AsRead],
) -> Result<usize, Error> {
    let first = queue::lock_first(transaction, home, key, letters.len()).await?;
    let still = |(place, letter): &(Place, &AsRead)| place.is_parked() && place.is(**letter);
    Ok(first.into_iter().zip(letters).take_while(still).count())
}

/// Marks the events of taken letters as applied and the letters as resolved, before the
/// change itself. False: the inbox does not hold all of them as parked, and nothing may
/// be applied.
pub async fn resolve(
    transaction: &mut Transaction<'_, MySql>,
    group: GroupNo,
    actor: &str,
    letters: &[(DeadLetterId, EventId)],
) -> Result<bool, Error> {
    let letters = letters.iter().map(|(letter_id, event_id)| Resolved {
        letter_id: *letter_id,
        event_id: *event_id,
        detail: "what it waited for is settled".to_owned(),
    });
    let resolver = Resolver {
        group,
        actor,
        action: RELEASED,
        from: InboxState::Parked,
    };
    resolve::resolve(transaction, resolver, letters.collect()).await
}

/// Makes a taken letter the head of its queue, because it failed when its turn came. Its
/// event, parked in the inbox, is dead from now on.
pub async fn head(
    transaction: &mut Transaction<'_, MySql>,
    group: GroupNo,
    actor: &str,
    (letter_id, event_id): (DeadLetterId, EventId),
    failed: Failed<'_>,
) -> Result<(), Error> {
    let failure = failed.failure;
    inbox::compare_and_set(transaction, group, event_id, InboxState::Parked, InboxState::Dead).await?;
    let fingerprint = fingerprint(actor, failure.class, failure.error);
    // It was never replayed: it waited.
    let returned = Returned {
        state: LetterState::Open,
        replays_failed: 0,
    };
    store::give_back(transaction, letter_id, returned, failure, fingerprint).await?;
    store::set_tries(transaction, letter_id, failed.attempts, failed.first_failed_at).await?;
    let detail = format!("{}: {}", failure.class, failure.error);
    store::insert_history(transaction, letter_id, "failed", actor, &detail).await?;
    Ok(())
}

/// Whether a letter, which is locked, is the first of its key's queue; a letter without a
/// key has no queue and is. `Err`: what stands before it. Needs no lock on the partition:
/// a letter that is first stays so until it is settled.
pub(crate) async fn is_first(
    transaction: &mut Transaction<'_, MySql>,
    letter: &LockedLetter,
) -> Result<Result<(), DeadLetterId>, Error> {
    let queued = queue::queued(transaction, letter.letter_id).await?;
    Ok(match queued {
        Some(Queued { first, .. }) if first != letter.letter_id => Err(first),
        _ => Ok(()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_held_key_is_the_beginning_of_the_sha_256_of_the_key() {
        // FIPS 180-2, B.1: the column `held_key` begins the same.
        let held = HeldKey::of(b"abc");
        let abc = 0xba78_16bf_8f01_cfea_4141_40de_5dae_2223_u128;
        assert_eq!(held.as_slice(), abc.to_be_bytes());
        assert_eq!(HeldKey::from_bytes(held.as_slice()), Some(held));
        assert_eq!(HeldKey::from_bytes(b"short"), None);
    }
}
