//! A replay attempt, as the group's runner meets it on the retry topic. All of it
//! happens in the handler's transaction, which has locked the letter's original
//! partition first.

use std::collections::HashMap;

use headgate_outbox::inbox::{GroupNo, InboxState};
use headgate_schemas::ids::{DeadLetterId, EventId};
use sqlx::{MySql, MySqlPool, Transaction};

use crate::Error;
use crate::fingerprint::fingerprint;
use crate::letter::{Disposition, LetterState};
use crate::resolve::{self, Resolved, Resolver};
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

/// Where letters came from, as far as they exist.
pub async fn origins(
    pool: &MySqlPool,
    letters: &[DeadLetterId],
) -> Result<HashMap<DeadLetterId, Origin>, Error> {
    Ok(store::origins(pool, letters).await?)
}

/// A letter whose current replay attempt is in hand. Locked until the transaction ends.
#[derive(Debug)]
pub struct Attempt {
    letter: LockedLetter,
}

impl Attempt {
    /// The letter.
    pub const fn letter_id(&self) -> DeadLetterId {
        self.letter.letter_id
    }
}

/// Locks letters, each for its replay attempt of a number. One whose number is not the current
/// one of a letter that is replaying is left out, and must not be applied. No letter may be
/// named twice.
pub async fn take(
    transaction: &mut Transaction<'_, MySql>,
    attempts: &[(DeadLetterId, u32)],
) -> Result<Vec<Attempt>, Error> {
    let numbers: HashMap<DeadLetterId, u32> = attempts.iter().copied().collect();
    let letters: Vec<DeadLetterId> = attempts.iter().map(|(letter_id, _)| *letter_id).collect();
    let locked = store::lock_all(transaction, &letters).await?;
    let is_current = |letter: &LockedLetter| {
        letter.state == LetterState::Replaying
            && numbers.get(&letter.letter_id) == Some(&letter.replay_attempt)
    };
    Ok(locked
        .into_iter()
        .filter(is_current)
        .map(|letter| Attempt { letter })
        .collect())
}

/// Marks the events of `group` as applied and their letters as resolved; call it before the
/// change itself, in the same transaction. False: the inbox does not hold all of the events as
/// dead, and nothing may be applied.
pub async fn resolve(
    transaction: &mut Transaction<'_, MySql>,
    group: GroupNo,
    attempts: &[Attempt],
    actor: &str,
) -> Result<bool, Error> {
    let letters = attempts.iter().map(|attempt| Resolved {
        letter_id: attempt.letter.letter_id,
        event_id: attempt.letter.event_id,
        detail: format!("attempt {}", attempt.letter.replay_attempt),
    });
    let resolver = Resolver {
        group,
        actor,
        action: "resolved",
        from: InboxState::Dead,
    };
    resolve::resolve(transaction, resolver, letters.collect()).await
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
