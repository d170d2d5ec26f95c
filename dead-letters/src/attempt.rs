//! A replay attempt, as the group's runner meets it on the retry topic. All of it
//! happens in the handler's transaction, which has locked the letter's original
//! partition first.

use headgate_outbox::inbox::{self, GroupNo, InboxState};
use headgate_schemas::ids::{DeadLetterId, EventId};
use sqlx::{MySql, MySqlPool, Transaction};

use crate::Error;
use crate::fingerprint::fingerprint;
use crate::letter::{Disposition, LetterState};
use crate::store::{self, LockedLetter, Returned};

/// Where a letter's record came from: which partition to lock.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Origin {
    /// The group that could not apply it.
    pub group: GroupNo,
    /// Topic, as Kafka names it.
    pub topic: String,
    /// Partition.
    pub partition: i32,
    /// The event.
    pub event_id: EventId,
}

impl Origin {
    /// The partition to lock.
    pub fn home(&self) -> crate::park::Home<'_> {
        crate::park::Home {
            group: self.group,
            topic: &self.topic,
            partition: self.partition,
        }
    }
}

/// Where a letter came from; it never changes. `None`: there is no such letter.
pub async fn origin(pool: &MySqlPool, letter_id: DeadLetterId) -> Result<Option<Origin>, Error> {
    Ok(store::origin(pool, letter_id).await?)
}

/// A letter whose current replay attempt is in hand. Locked until the transaction ends.
#[derive(Debug)]
pub struct Attempt {
    letter: LockedLetter,
}

/// Locks a letter for its replay attempt number `attempt`. `None`: that attempt is not
/// the current one of a letter that is replaying, and must not be applied.
pub async fn take(
    transaction: &mut Transaction<'_, MySql>,
    letter_id: DeadLetterId,
    attempt: u32,
) -> Result<Option<Attempt>, Error> {
    let letter = store::lock(transaction, letter_id).await?;
    Ok(letter
        .filter(|letter| letter.state == LetterState::Replaying && letter.replay_attempt == attempt)
        .map(|letter| Attempt { letter }))
}

/// Marks the event as applied and the letter as resolved; call it before the change
/// itself, in the same transaction. False: the inbox does not hold the event as dead,
/// and nothing may be applied.
pub async fn resolve(
    transaction: &mut Transaction<'_, MySql>,
    attempt: &Attempt,
    actor: &str,
) -> Result<bool, Error> {
    let letter = &attempt.letter;
    let was_dead = inbox::compare_and_set(
        transaction,
        letter.group,
        letter.event_id,
        InboxState::Dead,
        InboxState::Applied,
    )
    .await?;
    if !was_dead {
        return Ok(false);
    }
    store::close(transaction, letter.letter_id, LetterState::Resolved).await?;
    let detail = format!("attempt {}", letter.replay_attempt);
    store::insert_history(transaction, letter.letter_id, "resolved", actor, &detail).await?;
    Ok(true)
}

/// Why a replay failed.
#[derive(Clone, Copy, Debug)]
pub struct Failure<'f> {
    /// What kind of failure.
    pub disposition: Disposition,
    /// A stable word for the cause.
    pub class: &'f str,
    /// What went wrong.
    pub error: &'f str,
}

/// Returns the letter, with the failure in its history: to `open`, or after the
/// `replays_max`-th failed replay to `quarantined`, where no replay by filter meets it again.
/// The event stays dead either way. Returns the letter's state.
pub async fn fail(
    transaction: &mut Transaction<'_, MySql>,
    attempt: &Attempt,
    actor: &str,
    failure: Failure<'_>,
    replays_max: u32,
) -> Result<LetterState, Error> {
    let letter = &attempt.letter;
    let replays_failed = letter.replays_failed + 1;
    let state = if replays_failed < replays_max {
        LetterState::Open
    } else {
        LetterState::Quarantined
    };
    let returned = Returned {
        state,
        replays_failed,
    };
    let fingerprint = fingerprint(&letter.group_name, failure.class, failure.error);
    store::give_back(transaction, letter.letter_id, returned, failure, fingerprint).await?;
    let detail = format!(
        "attempt {}: {}: {}",
        letter.replay_attempt, failure.class, failure.error
    );
    store::insert_history(transaction, letter.letter_id, "failed", actor, &detail).await?;
    if state == LetterState::Quarantined {
        let detail = format!("{replays_failed} replays failed");
        store::insert_history(transaction, letter.letter_id, "quarantined", actor, &detail).await?;
    }
    Ok(state)
}
